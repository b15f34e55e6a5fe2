<?php
/**
 * Installs, erases what has ended, and cleans up.
 *
 * @package PME_Embed
 */

namespace PME_Embed;

defined( 'ABSPATH' ) || exit;

/**
 * The life of the plugin on a site. On a network each site installs itself when it is first used.
 */
final class Setup {

	private const SCHEMA = '1';
	private const EVENT  = 'pme_embed_erase_ended';

	/**
	 * Adds the hooks.
	 */
	public static function register(): void {
		add_action( 'init', array( self::class, 'install_if_due' ), 1 );
		add_action( self::EVENT, array( Store::class, 'erase_ended' ) );
		add_filter( 'wpmu_drop_tables', array( self::class, 'tables_of_deleted_site' ) );
		register_activation_hook( FILE, array( self::class, 'activate' ) );
		register_deactivation_hook( FILE, array( self::class, 'deactivate' ) );
	}

	/**
	 * Installs on the current site where this version has not done it yet.
	 */
	public static function install_if_due(): void {
		load_plugin_textdomain( 'pme-embed', false, dirname( plugin_basename( FILE ) ) . '/languages' );
		if ( self::SCHEMA !== get_option( 'pme_embed_schema' ) ) {
			self::install();
		}
		if ( ! wp_next_scheduled( self::EVENT ) ) {
			wp_schedule_event( time() + HOUR_IN_SECONDS, 'hourly', self::EVENT );
		}
	}

	/**
	 * Creates the table and the site's own key, and gives the capability to editors and administrators.
	 */
	private static function install(): void {
		Store::install();
		Keys::stored( 'holder' );
		foreach ( array( 'administrator', 'editor' ) as $name ) {
			$role = get_role( $name );
			if ( $role ) {
				$role->add_cap( MANAGE );
			}
		}
		update_option( 'pme_embed_schema', self::SCHEMA );
	}

	/**
	 * Installs on the site where the plugin is activated; each other site of a network does so when it is used.
	 */
	public static function activate(): void {
		self::install();
	}

	/**
	 * Erases all links, since nothing erases them at their end while the plugin is off.
	 *
	 * @param bool $network_wide Whether it is deactivated for a whole network.
	 */
	public static function deactivate( $network_wide = false ): void {
		$sites = is_multisite() && $network_wide ? get_sites(
			array(
				'fields' => 'ids',
				'number' => 0,
			)
		) : array( get_current_blog_id() );
		foreach ( $sites as $site ) {
			if ( is_multisite() ) {
				switch_to_blog( (int) $site );
			}
			if ( get_option( 'pme_embed_schema' ) ) {
				Store::erase_all();
			}
			wp_clear_scheduled_hook( self::EVENT );
			if ( is_multisite() ) {
				restore_current_blog();
			}
		}
	}

	/**
	 * Adds the table to those that are dropped with a site of a network.
	 *
	 * @param string[] $tables The tables.
	 * @return string[]
	 */
	public static function tables_of_deleted_site( $tables ) {
		$tables[] = Store::table();
		return $tables;
	}
}
