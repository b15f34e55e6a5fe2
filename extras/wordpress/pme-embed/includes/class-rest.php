<?php
/**
 * The REST API: pme-airflow writes links, visitors read them.
 *
 * @package PME_Embed
 */

namespace PME_Embed;

defined( 'ABSPATH' ) || exit;

/**
 * The routes of pme/v1.
 */
final class Rest {

	private const MODEL      = '/links/(?P<model>[A-Za-z0-9]{1,64})';
	private const MOST_NAMED = 100;

	/**
	 * Adds the routes, and the headers of their answers.
	 */
	public static function register(): void {
		add_action( 'rest_api_init', array( self::class, 'add_routes' ) );
		add_filter( 'rest_pre_dispatch', array( self::class, 'keep_out_of_caches' ), 10, 3 );
		add_filter( 'rest_pre_serve_request', array( self::class, 'send_headers' ), 99, 3 );
		add_filter( 'rest_jsonp_enabled', array( self::class, 'allows_jsonp' ) );
	}

	/**
	 * Adds the routes.
	 */
	public static function add_routes(): void {
		$manage = array( self::class, 'may_manage' );
		register_rest_route(
			REST,
			self::MODEL,
			array(
				array(
					'methods'             => 'GET',
					'callback'            => array( self::class, 'read' ),
					'permission_callback' => array( self::class, 'may_read' ),
				),
				array(
					'methods'             => 'PUT',
					'callback'            => array( self::class, 'write' ),
					'permission_callback' => $manage,
				),
				array(
					'methods'             => 'DELETE',
					'callback'            => array( self::class, 'erase' ),
					'permission_callback' => $manage,
				),
			)
		);
		register_rest_route(
			REST,
			'/links',
			array(
				'methods'             => 'GET',
				'callback'            => array( self::class, 'listed' ),
				'permission_callback' => $manage,
			)
		);
		register_rest_route(
			REST,
			'/status',
			array(
				'methods'             => 'GET',
				'callback'            => array( self::class, 'status' ),
				'permission_callback' => $manage,
			)
		);
	}

	/**
	 * Returns whether the current user may write links.
	 *
	 * @return true|\WP_Error
	 */
	public static function may_manage() {
		if ( current_user_can( MANAGE ) ) {
			return true;
		}
		return new \WP_Error(
			'pme_may_not_manage',
			/* translators: %s: the name of a capability. */
			sprintf( __( 'The account needs the capability %s.', 'pme-embed' ), MANAGE ),
			array( 'status' => rest_authorization_required_code() )
		);
	}

	/**
	 * Returns whether the current user may read a link, or its record.
	 *
	 * @param \WP_REST_Request $request The request.
	 * @return true|\WP_Error
	 */
	public static function may_read( \WP_REST_Request $request ) {
		$query = $request->get_query_params() + array( 'post' => '0' );
		if ( ! isset( $query['key'] ) ) {
			return current_user_can( MANAGE ) ? true : Access::forbidden();
		}
		if ( isset( $query['_jsonp'] ) || isset( $query['_envelope'] ) || ! is_string( $query['post'] ) || ! is_string( $query['key'] ) ) {
			return Access::forbidden();
		}
		$refusal = Access::refusal( self::model( $request ), (int) $query['post'], $query['key'] );
		return null === $refusal ? true : $refusal;
	}

	/**
	 * Returns the model that a request's path names. Parameters of the query or the body do not count: WordPress would
	 * take them first.
	 *
	 * @param \WP_REST_Request $request The request.
	 */
	private static function model( \WP_REST_Request $request ): string {
		return (string) $request->get_url_params()['model'];
	}

	/**
	 * Returns the link of a model for a visitor, or its record, without the link, for who writes links.
	 *
	 * @param \WP_REST_Request $request The request.
	 * @return \WP_REST_Response|\WP_Error
	 */
	public static function read( \WP_REST_Request $request ) {
		$row        = Store::get( self::model( $request ) );
		$is_visitor = isset( $request->get_query_params()['key'] );
		if ( null === $row || ( $is_visitor && '' === $row['link'] ) ) {
			return new \WP_Error( 'pme_no_link', __( 'This space has no link now.', 'pme-embed' ), array( 'status' => 404 ) );
		}
		if ( ! $is_visitor ) {
			return new \WP_REST_Response( self::record( $row ) );
		}
		return new \WP_REST_Response(
			array(
				'access_token' => $row['access_token'],
				'link'         => $row['link'],
				'valid_until'  => gmdate( 'Y-m-d\TH:i:s\Z', $row['valid_until'] ),
				'expires_in'   => $row['valid_until'] - now(),
			)
		);
	}

	/**
	 * Stores a model's link.
	 *
	 * @param \WP_REST_Request $request The request.
	 * @return \WP_REST_Response|\WP_Error
	 */
	public static function write( \WP_REST_Request $request ) {
		$body = $request->get_json_params();
		$link = self::checked( is_array( $body ) ? $body : array() );
		if ( is_wp_error( $link ) ) {
			return $link;
		}
		$model_id = self::model( $request );
		$shown    = Store::get( $model_id );
		if ( null !== $shown && $shown['audience'] !== $link['audience'] && $shown['slot'] !== $link['slot'] ) {
			return new \WP_Error(
				'pme_other_audience',
				/* translators: 1: a model's id, 2: the name of an audience. */
				sprintf( __( 'Model %1$s is shown to audience %2$s already, and a site has one link a model.', 'pme-embed' ), $model_id, $shown['audience'] ),
				array(
					'status'   => 409,
					'audience' => $shown['audience'],
				)
			);
		}
		$stored = Store::put( $model_id, $link ) ? Store::get( $model_id ) : null;
		if ( null === $stored || '' === $stored['fingerprint'] ) {
			return new \WP_Error( 'pme_not_stored', __( 'The database did not store the link.', 'pme-embed' ), array( 'status' => 500 ) );
		}
		return new \WP_REST_Response( self::record( $stored ) );
	}

	/**
	 * Erases a model's link; with a fingerprint only the link that has it.
	 *
	 * @param \WP_REST_Request $request The request.
	 */
	public static function erase( \WP_REST_Request $request ): \WP_REST_Response {
		$model_id = self::model( $request );
		$row      = Store::get( $model_id );
		$given    = $request->get_query_params()['fingerprint'] ?? null;
		$other    = null !== $row && is_string( $given ) && '' !== $row['fingerprint'] && $row['fingerprint'] !== $given;
		if ( ! $other ) {
			Store::delete( $model_id );
		}
		return new \WP_REST_Response(
			array(
				'model_id' => $model_id,
				'erased'   => null !== $row && ! $other,
			)
		);
	}

	/**
	 * Returns the records of models, of all or of those named in the parameter models.
	 *
	 * @param \WP_REST_Request $request The request.
	 */
	public static function listed( \WP_REST_Request $request ): \WP_REST_Response {
		$given = $request->get_query_params()['models'] ?? null;
		$named = is_string( $given ) ? explode( ',', $given, self::MOST_NAMED + 1 ) : null;
		$known = null === $named ? null : array_slice( array_values( array_filter( $named, __NAMESPACE__ . '\is_model_id' ) ), 0, self::MOST_NAMED );
		return new \WP_REST_Response( array_map( array( self::class, 'record' ), Store::rows( $known ) ) );
	}

	/**
	 * Returns the versions, and what a writer should know of the site.
	 */
	public static function status(): \WP_REST_Response {
		return new \WP_REST_Response(
			array(
				'version' => VERSION,
				'api'     => API,
				'rule'    => setting( 'rule' ),
				'hosts'   => self::hosts(),
				'sealed'  => Keys::are_outside_database(),
			)
		);
	}

	/**
	 * Returns a row as who writes links may see it: without the link.
	 *
	 * @param array $row A row of the store.
	 */
	public static function record( array $row ): array {
		return array(
			'model_id'    => $row['model_id'],
			'fingerprint' => $row['fingerprint'],
			'valid_until' => gmdate( 'Y-m-d\TH:i:s\Z', $row['valid_until'] ),
			'audience'    => $row['audience'],
			'slot'        => $row['slot'],
			'name'        => $row['name'],
			'written_at'  => gmdate( 'Y-m-d\TH:i:s\Z', $row['written_at'] ),
		);
	}

	/**
	 * Returns the body of a write as the store takes it, or what is wrong with it. No message repeats a value.
	 *
	 * @param array $body The body.
	 * @return array|\WP_Error
	 */
	private static function checked(
		#[\SensitiveParameter]
		array $body
	) {
		foreach ( array(
			'link'         => 4096,
			'access_token' => 2048,
			'valid_until'  => 40,
			'audience'     => 191,
			'slot'         => 191,
			'name'         => 1000,
		) as $field => $most ) {
			$body[ $field ] = $body[ $field ] ?? ( in_array( $field, array( 'link', 'access_token', 'valid_until' ), true ) ? null : '' );
			if ( ! is_string( $body[ $field ] ) || strlen( $body[ $field ] ) > $most ) {
				return self::invalid( $field );
			}
		}
		if ( ! preg_match( '/\A[\x21-\x7e]+\z/', $body['access_token'] ) ) {
			return self::invalid( 'access_token' );
		}
		if ( ! self::is_safe( $body['link'] ) ) {
			return self::invalid( 'link' );
		}
		$until = strtotime( $body['valid_until'] );
		if ( false === $until ) {
			return self::invalid( 'valid_until' );
		}
		if ( $until <= now() ) {
			return new \WP_Error( 'pme_ended', __( 'The link has ended by the clock of this server.', 'pme-embed' ), array( 'status' => 400 ) );
		}
		$body['valid_until'] = $until;
		foreach ( array( 'audience', 'slot', 'name' ) as $field ) {
			$body[ $field ] = sanitize_text_field( $body[ $field ] );
		}
		return $body;
	}

	/**
	 * Returns the error of a field.
	 *
	 * @param string $field The field.
	 */
	private static function invalid( string $field ): \WP_Error {
		/* translators: %s: the name of a field. */
		return new \WP_Error( 'pme_invalid_' . $field, sprintf( __( 'The field %s is missing or invalid.', 'pme-embed' ), $field ), array( 'status' => 400 ) );
	}

	/**
	 * Returns whether an address may be shown in a page: https, without credentials, of a host that the site shows. A
	 * site on this machine, as in tests, shows what is on this machine too. The plugin itself never requests it.
	 *
	 * @param string $link The address.
	 */
	private static function is_safe( string $link ): bool {
		$parts = preg_match( '/\A[\x21-\x7e]+\z/', $link ) && false === strpbrk( $link, "\\\"'<>`" ) ? wp_parse_url( $link ) : false;
		if ( ! is_array( $parts ) || ! isset( $parts['scheme'], $parts['host'] ) || isset( $parts['user'] ) || isset( $parts['pass'] ) ) {
			return false;
		}
		$host = strtolower( $parts['host'] );
		if ( self::is_loopback( $host ) && self::is_loopback( (string) wp_parse_url( home_url(), PHP_URL_HOST ) ) ) {
			return in_array( $parts['scheme'], array( 'http', 'https' ), true );
		}
		foreach ( self::hosts() as $known ) {
			if ( 'https' === $parts['scheme'] && ( $host === $known || substr( $host, -strlen( '.' . $known ) ) === '.' . $known ) ) {
				return true;
			}
		}
		return false;
	}

	/**
	 * Returns whether a host is this machine.
	 *
	 * @param string $host The host.
	 */
	private static function is_loopback( string $host ): bool {
		return 1 === preg_match( '/\A(localhost|127(\.\d{1,3}){3}|\[::1\])\z/', $host );
	}

	/**
	 * Returns the hosts whose links the site shows; their subdomains count too.
	 *
	 * @return string[]
	 */
	private static function hosts(): array {
		return (array) preg_split( '/\s+/', strtolower( setting( 'hosts' ) ), -1, PREG_SPLIT_NO_EMPTY );
	}

	// What follows keeps answers out of caches and away from other sites.

	/**
	 * Returns whether a route is one of the plugin's.
	 *
	 * @param string $route The route.
	 */
	private static function is_own( string $route ): bool {
		return 0 === stripos( ltrim( $route, '/' ), REST );
	}

	/**
	 * Says to page caches, before anything is answered, that this answer is not to be stored.
	 *
	 * @param mixed            $result  Passed on.
	 * @param \WP_REST_Server  $server  The server.
	 * @param \WP_REST_Request $request The request.
	 * @return mixed
	 */
	public static function keep_out_of_caches( $result, $server, $request ) {
		if ( self::is_own( $request->get_route() ) ) {
			foreach ( array( 'DONOTCACHEPAGE', 'DONOTCACHEOBJECT', 'DONOTCACHEDB' ) as $name ) {
				if ( ! defined( $name ) ) {
					define( $name, true ); // phpcs:ignore WordPress.NamingConventions.PrefixAllGlobals -- the names that caches know.
				}
			}
			add_filter( 'nocache_headers', array( self::class, 'nocache_headers' ), 99 );
		}
		return $result;
	}

	/**
	 * Returns the headers that keep an answer out of all caches.
	 */
	public static function nocache_headers(): array {
		return array(
			'Cache-Control' => 'no-store, private, max-age=0',
			'Pragma'        => 'no-cache',
			'Expires'       => 'Wed, 11 Jan 1984 05:00:00 GMT',
		);
	}

	/**
	 * Sends the headers. WordPress lets the page of any site read an answer; none of the plugin's may be.
	 *
	 * @param mixed             $served   Passed on.
	 * @param \WP_HTTP_Response $response The response.
	 * @param \WP_REST_Request  $request  The request.
	 * @return mixed
	 */
	public static function send_headers( $served, $response, $request ) {
		if ( self::is_own( $request->get_route() ) && ! headers_sent() ) {
			foreach ( array( 'Access-Control-Allow-Origin', 'Access-Control-Allow-Credentials', 'Access-Control-Allow-Methods', 'Access-Control-Expose-Headers' ) as $name ) {
				header_remove( $name );
			}
			$more = array(
				'CDN-Cache-Control'            => 'no-store',
				'Surrogate-Control'            => 'no-store',
				'X-LiteSpeed-Cache-Control'    => 'no-cache',
				'Referrer-Policy'              => 'no-referrer',
				'Cross-Origin-Resource-Policy' => 'same-origin',
				'Vary'                         => 'Cookie, Origin',
			);
			foreach ( array_merge( self::nocache_headers(), $more ) as $name => $value ) {
				header( "$name: $value" );
			}
		}
		return $served;
	}

	/**
	 * Returns whether an answer may be a script, which the page of any site could load; none of the plugin's may.
	 *
	 * @param bool $enabled What others say.
	 */
	public static function allows_jsonp( $enabled ): bool {
		$route = isset( $GLOBALS['wp']->query_vars['rest_route'] ) ? (string) $GLOBALS['wp']->query_vars['rest_route'] : '';
		return $enabled && ! self::is_own( $route );
	}
}
