<?php
/**
 * Lets who may delete a page delete its revisions too.
 *
 * @package PME_Embed
 */

namespace PME_Embed;

defined( 'ABSPATH' ) || exit;

/**
 * WordPress lets nobody delete a single revision. pme-airflow deletes those that hold a private link, once, when a page
 * moves to this plugin, and each night where links stand in pages.
 */
final class Revisions {

	/**
	 * Adds the filter.
	 */
	public static function register(): void {
		add_filter( 'map_meta_cap', array( self::class, 'map' ), 10, 4 );
	}

	/**
	 * Maps the right to delete a revision to that of deleting its page.
	 *
	 * @param string[] $caps    The capabilities that are needed so far.
	 * @param string   $cap     The capability that is asked for.
	 * @param int      $user_id The user.
	 * @param array    $args    The post's number first.
	 * @return string[]
	 */
	public static function map( $caps, $cap, $user_id, $args ) {
		$post = 'delete_post' === $cap && isset( $args[0] ) ? get_post( $args[0] ) : null;
		if ( $post && 'revision' === $post->post_type && $post->post_parent ) {
			return map_meta_cap( 'delete_post', $user_id, $post->post_parent );
		}
		return $caps;
	}
}
