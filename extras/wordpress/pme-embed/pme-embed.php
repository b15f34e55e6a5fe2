<?php
/**
 * Plugin Name:       PME Embed
 * Description:       Shows private Matterport spaces. Their links are renewed by pme-airflow, stored encrypted, and stand in no page, revision, feed, export or cache.
 * Version:           0.1.0
 * Requires at least: 6.1
 * Requires PHP:      7.4
 * Author:            The maintainers of pme-airflow
 * License:           GPL-2.0-or-later
 * License URI:       https://www.gnu.org/licenses/gpl-2.0.html
 * Text Domain:       pme-embed
 * Domain Path:       /languages
 *
 * @package PME_Embed
 */

namespace PME_Embed;

defined( 'ABSPATH' ) || exit;

/** The plugin's version, which is that of the pme-airflow that wrote it. */
const VERSION = '0.1.0';
/** The version of the REST API; pme-airflow refuses one that it does not know. */
const API = 1;
/** The REST namespace. */
const REST = 'pme/v1';
/** The capability to write links, and to see which are stored. */
const MANAGE = 'manage_pme_links';
/** The plugin's main file. */
const FILE = __FILE__;

foreach ( array( 'functions', 'class-keys', 'class-sealer', 'class-store', 'class-holder', 'class-access', 'class-rest', 'class-embed', 'class-revisions', 'class-usage', 'class-setup', 'class-screen', 'class-cli' ) as $pme_embed_part ) {
	require_once __DIR__ . '/includes/' . $pme_embed_part . '.php';
}

Setup::register();
Rest::register();
Embed::register();
Revisions::register();
Screen::register();
if ( defined( 'WP_CLI' ) && WP_CLI ) {
	Cli::register();
}
