<?php
/**
 * Finds where spaces are embedded.
 *
 * @package PME_Embed
 */

namespace PME_Embed;

defined( 'ABSPATH' ) || exit;

/**
 * Searches posts and what page builders store with them for the block and the shortcode.
 */
final class Usage {

	private const MOST_POSTS = 2000;
	private const EMBED      = '/(?:\[pme\s[^\]]*?\bmodel\s*=\s*(?:&quot;|&#0?34;|\\\\?["\']|\\\\u0022)?|<!--\s+wp:pme\/space\s+\{[^}]*?"model"\s*:\s*")([A-Za-z0-9]{1,64})/';

	/**
	 * Returns the posts that embed each model, by its id.
	 *
	 * @return array<string, int[]>
	 */
	public static function posts_by_model(): array {
		global $wpdb;
		$block     = '%' . $wpdb->esc_like( 'wp:pme/space' ) . '%';
		$shortcode = '%' . $wpdb->esc_like( '[pme ' ) . '%';
		// phpcs:disable WordPress.DB.DirectDatabaseQuery -- no function of WordPress searches all types at once.
		$contents = $wpdb->get_results(
			$wpdb->prepare(
				"SELECT ID AS id, post_content AS text FROM $wpdb->posts WHERE post_status NOT IN ('trash', 'auto-draft', 'inherit') AND post_type <> 'revision' AND (post_content LIKE %s OR post_content LIKE %s) LIMIT %d",
				$block,
				$shortcode,
				self::MOST_POSTS
			)
		);
		$metas    = $wpdb->get_results(
			$wpdb->prepare(
				"SELECT post_id AS id, meta_value AS text FROM $wpdb->postmeta JOIN $wpdb->posts ON ID = post_id WHERE post_status NOT IN ('trash', 'auto-draft', 'inherit') AND meta_value LIKE %s LIMIT %d",
				$shortcode,
				self::MOST_POSTS
			)
		);
		// phpcs:enable
		$found = array();
		foreach ( array_merge( (array) $contents, (array) $metas ) as $row ) {
			preg_match_all( self::EMBED, $row->text, $matches );
			foreach ( array_unique( $matches[1] ) as $model_id ) {
				$found[ (string) $model_id ][ (int) $row->id ] = (int) $row->id;
			}
		}
		return array_map( 'array_values', $found );
	}

	/**
	 * Returns an overview: for each model that has a link or is embedded, its record and the posts.
	 *
	 * @return array<int, array{model_id: string, state: string, valid_until: string, audience: string, name: string, posts: int[]}>
	 */
	public static function overview(): array {
		$posts = self::posts_by_model();
		$rows  = array_column( Store::rows(), null, 'model_id' );
		$names = array_map( 'strval', array_unique( array_merge( array_keys( $rows ), array_keys( $posts ) ) ) );
		sort( $names );
		$overview = array();
		foreach ( $names as $model_id ) {
			$row        = $rows[ $model_id ] ?? null;
			$overview[] = array(
				'model_id'    => $model_id,
				'state'       => null === $row ? 'missing' : ( '' === $row['link'] ? 'unreadable' : 'shown' ),
				'valid_until' => null === $row ? '' : gmdate( 'Y-m-d\TH:i:s\Z', $row['valid_until'] ),
				'audience'    => null === $row ? '' : $row['audience'],
				'name'        => null === $row ? '' : $row['name'],
				'posts'       => $posts[ $model_id ] ?? array(),
			);
		}
		return $overview;
	}
}
