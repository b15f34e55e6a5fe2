<?php
/**
 * The keys that links and addresses of embeds are protected with.
 *
 * @package PME_Embed
 */

namespace PME_Embed;

defined( 'ABSPATH' ) || exit;

/**
 * Derives keys from the salts in wp-config.php, or, where it has none, from a key that the plugin makes for the site.
 * Keys that must outlive a change of the salts are derived from the plugin's own key in either case.
 *
 * WordPress makes salts of its own where wp-config.php has none, but of two requests that are the first to need them
 * each makes its own, and what one of them sealed can never be opened.
 */
final class Keys {

	private const OPTION = 'pme_embed_key';
	private const SALTS  = array( 'AUTH_KEY', 'AUTH_SALT', 'SECURE_AUTH_KEY', 'SECURE_AUTH_SALT' );

	/**
	 * The keys that were read from the database, by site.
	 *
	 * @var array<int, string>
	 */
	private static $read = array();

	/**
	 * Returns a key of this site for one purpose.
	 *
	 * @param string $purpose What the key is for.
	 */
	public static function derived( string $purpose ): string {
		return self::of_source( self::are_outside_database() ? wp_salt( 'auth' ) . wp_salt( 'secure_auth' ) : self::own(), $purpose );
	}

	/**
	 * Returns a key of this site for one purpose that stays the same when the salts are changed. It is in the database.
	 *
	 * @param string $purpose What the key is for.
	 */
	public static function stored( string $purpose ): string {
		return self::of_source( self::own(), $purpose );
	}

	/**
	 * Returns a key of this site for one purpose, derived from a secret.
	 *
	 * @param string $source  The secret.
	 * @param string $purpose What the key is for.
	 */
	private static function of_source(
		#[\SensitiveParameter]
		string $source,
		string $purpose
	): string {
		return hash_hkdf( 'sha256', $source, 32, 'pme-embed|' . $purpose . '|' . get_current_blog_id() );
	}

	/**
	 * Returns whether the salts stand in wp-config.php. Without them the key is in the database, so that a copy of the
	 * database contains the key as well. WordPress takes no salt that stands there twice.
	 */
	public static function are_outside_database(): bool {
		$given = array();
		foreach ( array( 'AUTH', 'SECURE_AUTH', 'LOGGED_IN', 'NONCE', 'SECRET' ) as $scheme ) {
			foreach ( array( 'KEY', 'SALT' ) as $type ) {
				$name           = $scheme . '_' . $type;
				$given[ $name ] = defined( $name ) ? constant( $name ) : '';
			}
		}
		foreach ( self::SALTS as $name ) {
			$value = $given[ $name ];
			if ( ! is_string( $value ) || '' === $value || 'put your unique phrase here' === $value || count( array_keys( $given, $value, true ) ) > 1 ) {
				return false;
			}
		}
		return true;
	}

	/**
	 * Returns the key that the plugin made for this site, and makes it if there is none. Whoever stores one first wins.
	 */
	private static function own(): string {
		global $wpdb;
		$site = get_current_blog_id();
		if ( ! isset( self::$read[ $site ] ) ) {
			$key = self::read();
			if ( '' === $key ) {
				// Neither add_option() nor an object cache: both let a second request replace the first one's key.
				$made = bin2hex( random_bytes( 32 ) );
				$wpdb->query( $wpdb->prepare( "INSERT IGNORE INTO $wpdb->options (option_name, option_value, autoload) VALUES (%s, %s, 'no')", self::OPTION, $made ) ); // phpcs:ignore WordPress.DB.DirectDatabaseQuery -- see above.
				$key = self::read();
			}
			if ( '' === $key ) {
				return random_bytes( 32 ); // Nothing is protected by a key that everybody knows.
			}
			self::$read[ $site ] = $key;
		}
		return self::$read[ $site ];
	}

	/**
	 * Returns the key that is stored for this site; empty if there is none.
	 */
	private static function read(): string {
		global $wpdb;
		return (string) $wpdb->get_var( $wpdb->prepare( "SELECT option_value FROM $wpdb->options WHERE option_name = %s ORDER BY option_id LIMIT 1", self::OPTION ) ); // phpcs:ignore WordPress.DB.DirectDatabaseQuery -- so that no object cache keeps it.
	}
}
