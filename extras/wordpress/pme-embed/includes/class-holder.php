<?php
/**
 * The post that holds an embed, and the key that names it in the embed's address.
 *
 * @package PME_Embed
 */

namespace PME_Embed;

defined( 'ABSPATH' ) || exit;

/**
 * Where an embed was rendered. The key in an embed's address proves that this site rendered it there, so that nobody
 * reads a link by making up an address; it is no secret that opens anything by itself, and no time is in it, since
 * the page may stand in a cache for weeks, and for longer than the salts in wp-config.php.
 */
final class Holder {

	/** The post itself contains the embed; whether it still does is checked at each look. */
	public const CONTENT = 'c';
	/** Something else was rendered with the post: a template, a widget, a builder that stores elsewhere. */
	public const RENDERED = 'r';
	/** Rendered in an editor for a post that was not saved yet. */
	public const EDITOR = 'e';

	private const MOST_PATTERNS = 20;

	/**
	 * The post's number; 0 where there is none.
	 *
	 * @var int
	 */
	public $post_id;

	/**
	 * One of the constants.
	 *
	 * @var string
	 */
	public $kind;

	/**
	 * Sets both.
	 *
	 * @param int    $post_id The post's number.
	 * @param string $kind    One of the constants.
	 */
	public function __construct( int $post_id, string $kind ) {
		$this->post_id = $post_id;
		$this->kind    = $kind;
	}

	/**
	 * Returns the holder of an embed that is being rendered now.
	 *
	 * @param string $model_id The model.
	 */
	public static function current( string $model_id ): self {
		$post = get_post();
		if ( $post instanceof \WP_Post && self::contains( $post, $model_id ) ) {
			return new self( $post->ID, self::CONTENT );
		}
		$post_id = $post instanceof \WP_Post ? $post->ID : 0;
		return new self( $post_id, self::is_in_editor( $post_id ) ? self::EDITOR : self::RENDERED );
	}

	/**
	 * Returns whether an embed is being rendered for an editor: over REST, for an account that writes posts. A visitor
	 * reads a post over REST as it is on its page. Without a post no page shows what is rendered over REST.
	 *
	 * @param int $post_id The number of the post that is being rendered; 0 where there is none.
	 */
	private static function is_in_editor( int $post_id ): bool {
		return defined( 'REST_REQUEST' ) && REST_REQUEST && ( 0 === $post_id || current_user_can( 'edit_posts' ) );
	}

	/**
	 * Returns the key of a model's embed in this holder.
	 *
	 * @param string $model_id The model.
	 */
	public function key( string $model_id ): string {
		return $this->signed( $model_id, Keys::stored( 'holder' ) );
	}

	/**
	 * Returns the key of a model's embed in this holder, signed with a secret.
	 *
	 * @param string $model_id The model.
	 * @param string $secret   The secret.
	 */
	private function signed(
		string $model_id,
		#[\SensitiveParameter]
		string $secret
	): string {
		$text = $model_id . '|' . $this->post_id . '|' . $this->kind;
		return $this->kind . substr( hash_hmac( 'sha256', $text, $secret ), 0, 32 );
	}

	/**
	 * Returns the holder that a key names; null if the key is not one of this site, model and post.
	 *
	 * @param string $model_id The model.
	 * @param int    $post_id  The post's number.
	 * @param string $key      The key.
	 */
	public static function of_key( string $model_id, int $post_id, string $key ): ?self {
		$holder = new self( $post_id, substr( $key, 0, 1 ) );
		$known  = in_array( $holder->kind, array( self::CONTENT, self::RENDERED, self::EDITOR ), true );
		if ( ! $known ) {
			return null;
		}
		// Keys were signed with the salts at first, and pages with such a key may still stand in a cache.
		$is_ours = hash_equals( $holder->key( $model_id ), $key ) || hash_equals( $holder->signed( $model_id, Keys::derived( 'holder' ) ), $key );
		return $is_ours ? $holder : null;
	}

	/**
	 * Returns whether a post names a model: in its content, in a synced pattern that it shows, or in what a page
	 * builder stores with it.
	 *
	 * @param \WP_Post $post     The post.
	 * @param string   $model_id The model.
	 */
	public static function contains( \WP_Post $post, string $model_id ): bool {
		if ( false !== strpos( $post->post_content, $model_id ) || self::patterns_contain( $post->post_content, $model_id ) ) {
			return true;
		}
		foreach ( (array) get_post_meta( $post->ID ) as $values ) {
			foreach ( (array) $values as $value ) {
				if ( is_string( $value ) && false !== strpos( $value, $model_id ) ) {
					return true;
				}
			}
		}
		return false;
	}

	/**
	 * Returns whether a synced pattern that a content shows, or one inside of it, names a model.
	 *
	 * @param string $content  The content.
	 * @param string $model_id The model.
	 */
	private static function patterns_contain( string $content, string $model_id ): bool {
		$waiting = self::patterns_in( $content );
		for ( $index = 0; $index < self::MOST_PATTERNS && isset( $waiting[ $index ] ); $index++ ) {
			$pattern = get_post( $waiting[ $index ] );
			if ( ! $pattern instanceof \WP_Post || 'wp_block' !== $pattern->post_type || 'publish' !== $pattern->post_status ) {
				continue;
			}
			if ( false !== strpos( $pattern->post_content, $model_id ) ) {
				return true;
			}
			$waiting = array_values( array_unique( array_merge( $waiting, self::patterns_in( $pattern->post_content ) ) ) );
		}
		return false;
	}

	/**
	 * Returns the numbers of the synced patterns that a content shows.
	 *
	 * @param string $content The content.
	 * @return int[]
	 */
	private static function patterns_in( string $content ): array {
		preg_match_all( '/<!--\s+wp:(?:core\/)?block\s+\{[^>]*"ref"\s*:\s*([1-9][0-9]{0,17})\b/', $content, $found );
		return array_map( 'intval', $found[1] );
	}
}
