<?php
/**
 * What every part needs: the time, the settings, and the form of model ids.
 *
 * @package PME_Embed
 */

namespace PME_Embed;

defined( 'ABSPATH' ) || exit;

/**
 * Returns the time in seconds.
 */
function now(): int {
	/**
	 * Filters the time by which links end; for tests.
	 *
	 * @param int $now Seconds since 1970, UTC.
	 */
	return (int) apply_filters( 'pme_embed_now', time() );
}

/**
 * Returns whether a value has the form of a model id. Model ids are case-sensitive.
 *
 * @param mixed $value Any value.
 */
function is_model_id( $value ): bool {
	return is_string( $value ) && 1 === preg_match( '/\A[A-Za-z0-9]{1,64}\z/', $value );
}

/**
 * Returns a setting of this site.
 *
 * @param string $name One of rule, capability, hosts and watch.
 */
function setting( string $name ): string {
	$defaults = array(
		'rule'       => 'everybody',
		'capability' => 'read_private_pages',
		'hosts'      => 'matterport.com',
		'watch'      => '60',
	);
	$stored   = get_option( 'pme_embed_settings' );
	$value    = is_array( $stored ) ? ( $stored[ $name ] ?? null ) : null;
	return is_string( $value ) && '' !== $value ? $value : $defaults[ $name ];
}
