<?php
/**
 * Encrypts links for storage.
 *
 * @package PME_Embed
 */

namespace PME_Embed;

defined( 'ABSPATH' ) || exit;

/**
 * XChaCha20-Poly1305 with a key of this site. What is sealed for one model or site opens for no other.
 */
final class Sealer {

	private const PREFIX = 'pme1:';

	/**
	 * Encrypts a text for a model.
	 *
	 * @param string $model_id The model.
	 * @param string $text     The text.
	 */
	public static function seal(
		string $model_id,
		#[\SensitiveParameter]
		string $text
	): string {
		$nonce  = random_bytes( SODIUM_CRYPTO_AEAD_XCHACHA20POLY1305_IETF_NPUBBYTES );
		$sealed = sodium_crypto_aead_xchacha20poly1305_ietf_encrypt( $text, $model_id, $nonce, Keys::derived( 'seal' ) );
		return self::PREFIX . base64_encode( $nonce . $sealed ); // phpcs:ignore WordPress.PHP.DiscouragedPHPFunctions -- binary in a text column.
	}

	/**
	 * Decrypts a text; null if the salts have changed since, or it was sealed for another model.
	 *
	 * @param string $model_id The model.
	 * @param string $sealed   What seal() returned.
	 */
	public static function open( string $model_id, string $sealed ): ?string {
		if ( 0 !== strpos( $sealed, self::PREFIX ) ) {
			return null;
		}
		$raw  = base64_decode( substr( $sealed, strlen( self::PREFIX ) ), true ); // phpcs:ignore WordPress.PHP.DiscouragedPHPFunctions -- binary in a text column.
		$size = SODIUM_CRYPTO_AEAD_XCHACHA20POLY1305_IETF_NPUBBYTES;
		if ( false === $raw || strlen( $raw ) <= $size + SODIUM_CRYPTO_AEAD_XCHACHA20POLY1305_IETF_ABYTES ) {
			return null;
		}
		try {
			$text = sodium_crypto_aead_xchacha20poly1305_ietf_decrypt( substr( $raw, $size ), $model_id, substr( $raw, 0, $size ), Keys::derived( 'seal' ) );
		} catch ( \SodiumException $error ) {
			return null;
		}
		return false === $text ? null : $text;
	}
}
