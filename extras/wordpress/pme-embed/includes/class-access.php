<?php
/**
 * Who may see a space.
 *
 * @package PME_Embed
 */

namespace PME_Embed;

defined( 'ABSPATH' ) || exit;

/**
 * A visitor sees a space if the site's rule lets them, and if they may read the post that holds the embed.
 */
final class Access {

	/**
	 * Returns why a visitor may not see a model where an embed's address says it is; null if they may.
	 *
	 * @param string $model_id The model.
	 * @param int    $post_id  The post's number.
	 * @param string $key      The key.
	 */
	public static function refusal( string $model_id, int $post_id, string $key ): ?\WP_Error {
		$holder = Holder::of_key( $model_id, $post_id, $key );
		if ( null === $holder || ! self::is_same_origin() ) {
			return self::forbidden();
		}
		$former = get_current_user_id();
		wp_set_current_user( self::visitor() );
		try {
			return self::may_read( $holder, $model_id ) ? self::refusal_by_rule() : self::forbidden();
		} finally {
			wp_set_current_user( $former );
		}
	}

	/**
	 * Returns whether a request comes from a page of this site, as far as the browser says.
	 *
	 * WordPress' REST API takes a cookie only with a nonce, and a page in a cache has none that is valid. In its place
	 * a request with a cookie must not come from another site: browsers name it in one of these headers.
	 */
	private static function is_same_origin(): bool {
		$site   = isset( $_SERVER['HTTP_SEC_FETCH_SITE'] ) ? sanitize_text_field( wp_unslash( $_SERVER['HTTP_SEC_FETCH_SITE'] ) ) : '';
		$origin = isset( $_SERVER['HTTP_ORIGIN'] ) ? sanitize_text_field( wp_unslash( $_SERVER['HTTP_ORIGIN'] ) ) : '';
		$host   = isset( $_SERVER['HTTP_HOST'] ) ? sanitize_text_field( wp_unslash( $_SERVER['HTTP_HOST'] ) ) : '';
		if ( '' !== $site && 'same-origin' !== $site ) {
			return false;
		}
		return '' === $origin || 0 === strcasecmp( (string) preg_replace( '#^https?://#i', '', $origin ), $host );
	}

	/**
	 * Returns the visitor's user number, 0 for somebody who is not signed in.
	 */
	private static function visitor(): int {
		$current = get_current_user_id();
		return $current ? $current : (int) wp_validate_auth_cookie( '', 'logged_in' );
	}

	/**
	 * Returns whether the current user may read what holds an embed, and whether it still holds it.
	 *
	 * @param Holder $holder   The holder.
	 * @param string $model_id The model.
	 */
	private static function may_read( Holder $holder, string $model_id ): bool {
		if ( 0 === $holder->post_id ) {
			return Holder::RENDERED === $holder->kind || current_user_can( 'edit_posts' );
		}
		$post = get_post( $holder->post_id );
		if ( ! $post instanceof \WP_Post || 'trash' === get_post_status( $post ) ) {
			return false;
		}
		if ( Holder::EDITOR === $holder->kind ) {
			return current_user_can( 'edit_post', $post->ID );
		}
		if ( ! is_post_publicly_viewable( $post ) && ! current_user_can( 'read_post', $post->ID ) ) {
			return false;
		}
		if ( post_password_required( $post ) && ! current_user_can( 'edit_post', $post->ID ) ) {
			return false;
		}
		return Holder::RENDERED === $holder->kind || Holder::contains( $post, $model_id );
	}

	/**
	 * Returns why the site's rule does not let the current user see spaces; null if it does.
	 */
	private static function refusal_by_rule(): ?\WP_Error {
		$rule = setting( 'rule' );
		if ( 'everybody' === $rule ) {
			return null;
		}
		$capability = 'capability' === $rule ? setting( 'capability' ) : 'read';
		if ( current_user_can( $capability ) ) { // phpcs:ignore WordPress.WP.Capabilities.Undetermined -- a setting of the site.
			return null;
		}
		if ( ! is_user_logged_in() ) {
			return new \WP_Error( 'pme_sign_in', __( 'Sign in to see this space.', 'pme-embed' ), array( 'status' => 401 ) );
		}
		return self::forbidden();
	}

	/**
	 * Returns one refusal for all reasons, so that it does not show which models or posts there are.
	 */
	public static function forbidden(): \WP_Error {
		return new \WP_Error( 'pme_forbidden', __( 'This space is not shown to you.', 'pme-embed' ), array( 'status' => 403 ) );
	}
}
