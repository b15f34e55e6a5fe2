// The block pme/space in the editor: the model's id and its looks in the sidebar, and a preview that opens the space.
( function ( wp ) {
	const { createElement: el, Fragment, useEffect, useRef } = wp.element;
	const { InspectorControls, useBlockProps } = wp.blockEditor;
	const { PanelBody, Placeholder, TextControl } = wp.components;
	const { __ } = wp.i18n;
	const ServerSideRender = wp.serverSideRender;
	const MODEL = /^[A-Za-z0-9]{1,64}$/;

	/** Opens every space in an element as soon as the server's HTML is there. Returns a function that stops them. */
	function openSpaces( element ) {
		const open = new Map();
		let kit;
		const look = () => {
			for ( const [ frame, stop ] of open ) {
				if ( ! frame.isConnected ) {
					stop();
					open.delete( frame );
				}
			}
			element.querySelectorAll( 'iframe[data-pme-source]' ).forEach( ( frame ) => {
				if ( kit && ! open.has( frame ) ) {
					open.set( frame, kit.start( frame ) );
				}
			} );
		};
		const observer = new MutationObserver( look );
		observer.observe( element, { childList: true, subtree: true } );
		import( window.pmeEmbedEditor.script ).then( ( module ) => {
			kit = module;
			look();
		} );
		return () => {
			observer.disconnect();
			open.forEach( ( stop ) => stop() );
		};
	}

	function Preview( { attributes } ) {
		const box = useRef();
		useEffect( () => openSpaces( box.current ), [] );
		return el( 'div', { ref: box }, el( ServerSideRender, { block: 'pme/space', attributes } ) );
	}

	function Edit( { attributes, setAttributes } ) {
		const field = ( name, label, help ) =>
			el( TextControl, {
				key: name,
				label,
				help,
				value: attributes[ name ],
				onChange: ( value ) => setAttributes( { [ name ]: value.trim ? ( name === 'title' ? value : value.trim() ) : '' } ),
			} );
		const model = field( 'model', __( 'Model id', 'pme-embed' ), __( '11 letters and digits, or the 25 of a View.', 'pme-embed' ) );
		return el(
			Fragment,
			null,
			el(
				InspectorControls,
				null,
				el( PanelBody, { title: __( 'Space', 'pme-embed' ) }, [
					model,
					field( 'title', __( 'Title', 'pme-embed' ), __( 'Read out by screen readers.', 'pme-embed' ) ),
					field( 'height', __( 'Height', 'pme-embed' ), __( 'For example 480px or 60vh.', 'pme-embed' ) ),
					field( 'params', __( 'Showcase parameters', 'pme-embed' ), __( 'For example play=1&lang=de.', 'pme-embed' ) ),
				] )
			),
			el(
				'div',
				useBlockProps(),
				MODEL.test( attributes.model )
					? el( Preview, { attributes } )
					: el( Placeholder, { icon: 'admin-home', label: __( 'Private space', 'pme-embed' ) }, model )
			)
		);
	}

	wp.blocks.registerBlockType( 'pme/space', { edit: Edit, save: () => null } );
} )( window.wp );
