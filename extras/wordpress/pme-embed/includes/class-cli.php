<?php
/**
 * The command wp pme.
 *
 * @package PME_Embed
 */

namespace PME_Embed;

defined( 'ABSPATH' ) || exit;

/**
 * Private spaces of the site.
 */
final class Cli {

	/**
	 * Adds the command.
	 */
	public static function register(): void {
		\WP_CLI::add_command( 'pme', self::class );
	}

	/**
	 * Lists the spaces: until when each is shown, to which audience, and in which posts. No link is printed.
	 *
	 * ## OPTIONS
	 *
	 * [--format=<format>]
	 * : table, json, csv, yaml, ids or count.
	 * ---
	 * default: table
	 * ---
	 *
	 * @subcommand list
	 *
	 * @param string[] $args    None.
	 * @param array    $options The format.
	 */
	public function list_( $args, $options ): void {
		$format = $options['format'] ?? 'table';
		$rows   = Usage::overview();
		if ( 'ids' === $format ) {
			\WP_CLI::line( implode( ' ', array_column( $rows, 'model_id' ) ) );
			return;
		}
		$fields = array( 'model_id', 'state', 'valid_until', 'audience', 'name', 'posts' );
		foreach ( $rows as &$row ) {
			$row['posts'] = implode( ',', $row['posts'] );
		}
		unset( $row );
		\WP_CLI\Utils\format_items( $format, $rows, $fields );
	}
}
