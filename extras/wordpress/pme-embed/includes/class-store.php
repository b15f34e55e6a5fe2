<?php
/**
 * The table of links: one row a model, each link encrypted, erased at its end.
 *
 * @package PME_Embed
 */

namespace PME_Embed;

defined( 'ABSPATH' ) || exit;

// The plugin's own table; nothing of it is cached, so that no object cache keeps a link.
// phpcs:disable WordPress.DB.DirectDatabaseQuery, WordPress.DB.PreparedSQL.InterpolatedNotPrepared

/**
 * Reads and writes this site's links.
 */
final class Store {

	private const MOST = 5000;

	/**
	 * Returns the table's name on the current site.
	 */
	public static function table(): string {
		global $wpdb;
		return $wpdb->prefix . 'pme_links';
	}

	/**
	 * Creates the table or brings it up to date.
	 */
	public static function install(): void {
		global $wpdb;
		require_once ABSPATH . 'wp-admin/includes/upgrade.php';
		$table = self::table();
		dbDelta(
			"CREATE TABLE $table (
			model_id varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
			sealed text NOT NULL,
			audience varchar(191) NOT NULL,
			slot varchar(191) NOT NULL,
			name varchar(191) NOT NULL,
			valid_until bigint(20) unsigned NOT NULL,
			written_at bigint(20) unsigned NOT NULL,
			PRIMARY KEY  (model_id),
			KEY valid_until (valid_until)
			) {$wpdb->get_charset_collate()};"
		);
	}

	/**
	 * Stores a link in place of the one that is there.
	 *
	 * @param string $model_id The model.
	 * @param array  $link     link, access_token, valid_until in seconds, audience, slot and name.
	 * @return bool Whether it was stored.
	 */
	public static function put(
		string $model_id,
		#[\SensitiveParameter]
		array $link
	): bool {
		global $wpdb;
		self::erase_ended();
		$secret = wp_json_encode(
			array(
				'link'         => $link['link'],
				'access_token' => $link['access_token'],
			)
		);
		$row    = array(
			'model_id'    => $model_id,
			'sealed'      => Sealer::seal( $model_id, (string) $secret ),
			'audience'    => self::fitting( 'audience', $link['audience'] ),
			'slot'        => self::fitting( 'slot', $link['slot'] ),
			'name'        => self::fitting( 'name', $link['name'] ),
			'valid_until' => $link['valid_until'],
			'written_at'  => now(),
		);
		return false !== $wpdb->replace( self::table(), $row, array( '%s', '%s', '%s', '%s', '%s', '%d', '%d' ) );
	}

	/**
	 * Returns a text that a column can hold: of its character set, and at most 191 characters.
	 *
	 * @param string $column The column.
	 * @param string $text   The text.
	 */
	private static function fitting( string $column, string $text ): string {
		global $wpdb;
		$text  = wp_html_excerpt( $text, 191 );
		$found = $wpdb->strip_invalid_text_for_column( self::table(), $column, $text );
		return is_string( $found ) ? $found : '';
	}

	/**
	 * Returns a model's row, opened; null if there is none, or it has ended.
	 *
	 * @param string $model_id The model.
	 */
	public static function get( string $model_id ): ?array {
		global $wpdb;
		$table = self::table();
		$row   = $wpdb->get_row( $wpdb->prepare( "SELECT * FROM `$table` WHERE model_id = %s", $model_id ), ARRAY_A );
		if ( ! $row ) {
			return null;
		}
		if ( (int) $row['valid_until'] <= now() ) {
			self::erase_ended();
			return null;
		}
		return self::opened( $row );
	}

	/**
	 * Returns the rows of models, opened, or of all models.
	 *
	 * @param string[]|null $model_ids The models; null for all.
	 */
	public static function rows( ?array $model_ids = null ): array {
		global $wpdb;
		$table = self::table();
		if ( null === $model_ids ) {
			$query = $wpdb->prepare( "SELECT * FROM `$table` WHERE valid_until > %d ORDER BY model_id LIMIT %d", now(), self::MOST );
		} elseif ( ! $model_ids ) {
			return array();
		} else {
			$places = implode( ', ', array_fill( 0, count( $model_ids ), '%s' ) );
			// phpcs:ignore WordPress.DB.PreparedSQLPlaceholders.UnfinishedPrepare -- the placeholders are in $places.
			$query = $wpdb->prepare( "SELECT * FROM `$table` WHERE model_id IN ($places) AND valid_until > %d ORDER BY model_id", array_merge( $model_ids, array( now() ) ) );
		}
		return array_map( array( self::class, 'opened' ), (array) $wpdb->get_results( $query, ARRAY_A ) ); // phpcs:ignore WordPress.DB.PreparedSQL.NotPrepared -- prepared above.
	}

	/**
	 * Erases a model's link.
	 *
	 * @param string $model_id The model.
	 */
	public static function delete( string $model_id ): void {
		global $wpdb;
		$wpdb->delete( self::table(), array( 'model_id' => $model_id ), array( '%s' ) );
	}

	/**
	 * Erases the links that have ended.
	 */
	public static function erase_ended(): void {
		global $wpdb;
		$table = self::table();
		$wpdb->query( $wpdb->prepare( "DELETE FROM `$table` WHERE valid_until <= %d", now() ) );
	}

	/**
	 * Erases all links of the site.
	 */
	public static function erase_all(): void {
		global $wpdb;
		$table = self::table();
		$wpdb->query( "DELETE FROM `$table`" );
	}

	/**
	 * Adds to a row what its sealed text holds: link, access_token and fingerprint, each empty if it cannot be opened.
	 *
	 * @param array $row A row.
	 */
	private static function opened( array $row ): array {
		$text   = Sealer::open( $row['model_id'], $row['sealed'] );
		$secret = null === $text ? null : json_decode( $text, true );
		$known  = is_array( $secret ) && isset( $secret['link'], $secret['access_token'] );
		unset( $row['sealed'] );
		$row['valid_until']  = (int) $row['valid_until'];
		$row['written_at']   = (int) $row['written_at'];
		$row['link']         = $known ? (string) $secret['link'] : '';
		$row['access_token'] = $known ? (string) $secret['access_token'] : '';
		$row['fingerprint']  = $known ? 'sha256:' . hash( 'sha256', $row['access_token'] ) : '';
		return $row;
	}
}
