<?php
/**
 * Erases all that the plugin stored: links, settings and capabilities, on every site of a network.
 *
 * @package PME_Embed
 */

namespace PME_Embed;

defined( 'WP_UNINSTALL_PLUGIN' ) || exit;

/**
 * Erases what one site stores.
 */
function uninstall_site(): void {
	global $wpdb;
	$table = $wpdb->prefix . 'pme_links';
	$wpdb->query( "DROP TABLE IF EXISTS `$table`" ); // phpcs:ignore WordPress.DB -- the table is the plugin's own.
	delete_option( 'pme_embed_schema' );
	delete_option( 'pme_embed_key' );
	delete_option( 'pme_embed_settings' );
	wp_clear_scheduled_hook( 'pme_embed_erase_ended' );
	foreach ( array_keys( wp_roles()->roles ) as $role ) {
		get_role( $role )->remove_cap( 'manage_pme_links' );
	}
}

if ( is_multisite() ) {
	foreach ( get_sites(
		array(
			'fields' => 'ids',
			'number' => 0,
		)
	) as $pme_embed_site ) {
		switch_to_blog( (int) $pme_embed_site );
		wp_roles()->for_site( (int) $pme_embed_site );
		uninstall_site();
		restore_current_blog();
	}
} else {
	uninstall_site();
}
