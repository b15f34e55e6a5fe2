<?php
/**
 * The block pme/space and the shortcode [pme].
 *
 * @package PME_Embed
 */

namespace PME_Embed;

defined( 'ABSPATH' ) || exit;

/**
 * Renders a placeholder, which is the same for every visitor and holds no link, so that any cache may keep it.
 * pme-embed.js reads the link from the REST API when somebody looks.
 */
final class Embed {

	private const SCRIPT = 'pme-embed';
	private const HEIGHT = '480px';

	/**
	 * Adds the block, the shortcode and the script.
	 */
	public static function register(): void {
		add_action( 'init', array( self::class, 'add' ) );
		add_filter( 'script_loader_tag', array( self::class, 'as_module' ), 10, 2 );
	}

	/**
	 * Registers the block, the shortcode and the script.
	 */
	public static function add(): void {
		wp_register_script( self::SCRIPT, plugins_url( 'assets/pme-embed.js', FILE ), array(), VERSION, true );
		register_block_type( dirname( FILE ) . '/block', array( 'render_callback' => array( self::class, 'render_block' ) ) );
		add_shortcode( 'pme', array( self::class, 'render_shortcode' ) );
		wp_set_script_translations( 'pme-space-editor-script', 'pme-embed', dirname( FILE ) . '/languages' );
		$editor = array( 'script' => plugins_url( 'assets/pme-embed.js', FILE ) . '?ver=' . VERSION );
		wp_add_inline_script( 'pme-space-editor-script', 'window.pmeEmbedEditor = ' . wp_json_encode( $editor ) . ';', 'before' );
	}

	/**
	 * Returns the script's tag as that of a module.
	 *
	 * @param string $tag    The tag.
	 * @param string $handle The script's handle.
	 */
	public static function as_module( $tag, $handle ) {
		return self::SCRIPT === $handle ? preg_replace( '/<script(?![^>]*type=.module)(?:\s+type=([\'"])[^\'"]*\1)?/', '<script type="module"', $tag ) : $tag;
	}

	/**
	 * Renders the shortcode.
	 *
	 * @param array|string $attributes What stands in it.
	 */
	public static function render_shortcode( $attributes ): string {
		return self::render( is_array( $attributes ) ? $attributes : array(), 'class="pme-space"' );
	}

	/**
	 * Renders the block.
	 *
	 * @param array $attributes Its attributes.
	 */
	public static function render_block( $attributes ): string {
		return self::render( $attributes, get_block_wrapper_attributes( array( 'class' => 'pme-space' ) ) );
	}

	/**
	 * Renders an embed.
	 *
	 * @param array  $attributes model, title, height and params.
	 * @param string $wrapper    The attributes of the element around it, escaped.
	 */
	private static function render( array $attributes, string $wrapper ): string {
		$model_id = trim( (string) ( $attributes['model'] ?? '' ) );
		if ( ! is_model_id( $model_id ) ) {
			return current_user_can( 'edit_posts' ) ? '<p>' . esc_html__( 'The space has no valid model id.', 'pme-embed' ) . '</p>' : '';
		}
		if ( is_feed() ) {
			return '<p><a href="' . esc_url( (string) get_permalink() ) . '">' . esc_html__( 'Open the space on the page', 'pme-embed' ) . '</a></p>';
		}
		wp_enqueue_script( self::SCRIPT );
		return sprintf( '<div %s>%s%s</div>', $wrapper, self::frame( $model_id, $attributes ), self::notices() );
	}

	/**
	 * Returns the iframe, without an address.
	 *
	 * @param string $model_id   The model.
	 * @param array  $attributes title, height and params.
	 */
	private static function frame( string $model_id, array $attributes ): string {
		$title  = trim( wp_strip_all_tags( (string) ( $attributes['title'] ?? '' ) ) );
		$height = trim( (string) ( $attributes['height'] ?? '' ) );
		$height = preg_match( '/\A[0-9]{1,4}\z/', $height ) ? $height . 'px' : $height;
		$frame  = array(
			'data-pme-source' => self::source( $model_id ),
			'data-pme-hosts'  => setting( 'hosts' ),
			'data-pme-watch'  => setting( 'watch' ),
			'data-pme-params' => self::params( (string) ( $attributes['params'] ?? '' ) ),
			'title'           => '' === $title ? __( 'Walk through the space', 'pme-embed' ) : $title,
			'style'           => 'width:100%;border:0;height:' . ( preg_match( '/\A[0-9]{1,4}(px|%|vh|vw|em|rem)\z/', $height ) ? $height : self::HEIGHT ),
			'allow'           => 'fullscreen; xr-spatial-tracking; gyroscope; accelerometer',
			'referrerpolicy'  => 'no-referrer',
		);
		$text   = '';
		foreach ( array_filter( $frame, 'strlen' ) as $name => $value ) {
			// Square brackets would be read as shortcodes by filters that run later.
			$text .= sprintf( ' %s="%s"', $name, str_replace( array( '[', ']' ), array( '&#091;', '&#093;' ), esc_attr( $value ) ) );
		}
		return "<iframe$text allowfullscreen></iframe>";
	}

	/**
	 * Returns the address at which a model's link is read: without a host, so that it is that of the page.
	 *
	 * @param string $model_id The model.
	 */
	private static function source( string $model_id ): string {
		$holder  = Holder::current( $model_id );
		$address = add_query_arg(
			array(
				'post' => $holder->post_id,
				'key'  => $holder->key( $model_id ),
			),
			rest_url( REST . '/links/' . $model_id )
		);
		return (string) preg_replace( '#\Ahttps?://[^/?]*#i', '', $address );
	}

	/**
	 * Returns Showcase parameters, without those that choose what is opened.
	 *
	 * @param string $params A query, such as play=1&lang=de.
	 */
	private static function params( string $params ): string {
		if ( ! preg_match( '/\A[A-Za-z0-9_.,~%&=+:*;-]{1,500}\z/', $params ) ) {
			return '';
		}
		$kept = array();
		foreach ( explode( '&', str_replace( '&amp;', '&', $params ) ) as $pair ) {
			$name = strtolower( rawurldecode( strtok( $pair . '=', '=' ) ? strtok( $pair . '=', '=' ) : '' ) );
			if ( '' !== $name && ! in_array( $name, array( 'm', 'model', 'auth', 'access_token', 'applicationkey' ), true ) && false === stripos( rawurldecode( $pair ), 'javascript:' ) ) {
				$kept[] = $pair;
			}
		}
		return implode( '&', $kept );
	}

	/**
	 * Returns what a visitor reads who is shown no space; hidden until then.
	 */
	private static function notices(): string {
		$sign_in = sprintf(
			'%s <a href="%s">%s</a>',
			esc_html__( 'This space is shown to signed-in visitors who may see it.', 'pme-embed' ),
			esc_url( wp_login_url( (string) get_permalink() ) ),
			esc_html__( 'Sign in', 'pme-embed' )
		);
		return sprintf(
			'<p data-pme-status="denied" role="status" hidden>%s</p><p data-pme-status="failed" role="status" hidden>%s</p><noscript><p>%s</p></noscript>',
			$sign_in,
			esc_html__( 'This space cannot be shown at the moment. The page tries again by itself.', 'pme-embed' ),
			esc_html__( 'This space needs JavaScript.', 'pme-embed' )
		);
	}
}
