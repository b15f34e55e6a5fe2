<?php
/**
 * The screen Tools > Private spaces.
 *
 * @package PME_Embed
 */

namespace PME_Embed;

defined( 'ABSPATH' ) || exit;

/**
 * Shows what is shown until when, where it is used and what is missing; administrators set who may see spaces.
 */
final class Screen {

	private const PAGE     = 'pme-embed';
	private const SETTINGS = 'pme_embed_settings';
	private const MOST     = 5;

	/**
	 * Adds the screen and its settings.
	 */
	public static function register(): void {
		add_action( 'admin_menu', array( self::class, 'add' ) );
		add_action( 'admin_post_pme_embed_settings', array( self::class, 'save' ) );
	}

	/**
	 * Adds the screen to the menu.
	 */
	public static function add(): void {
		add_management_page( __( 'Private spaces', 'pme-embed' ), __( 'Private spaces', 'pme-embed' ), MANAGE, self::PAGE, array( self::class, 'render' ) );
	}

	/**
	 * Returns the rules, by name.
	 *
	 * @return array<string, string>
	 */
	private static function rules(): array {
		return array(
			'everybody'  => __( 'Everybody who may read the page', 'pme-embed' ),
			'signed_in'  => __( 'Signed-in users who may read the page', 'pme-embed' ),
			'capability' => __( 'Users with this capability who may read the page:', 'pme-embed' ),
		);
	}

	/**
	 * Saves the settings.
	 */
	public static function save(): void {
		if ( ! current_user_can( 'manage_options' ) ) {
			wp_die( esc_html__( 'You may not change these settings.', 'pme-embed' ), '', array( 'response' => 403 ) );
		}
		check_admin_referer( self::SETTINGS );
		$rule       = isset( $_POST['rule'] ) ? sanitize_key( wp_unslash( $_POST['rule'] ) ) : '';
		$capability = isset( $_POST['capability'] ) ? sanitize_key( wp_unslash( $_POST['capability'] ) ) : '';
		$hosts      = isset( $_POST['hosts'] ) ? self::hosts( sanitize_text_field( wp_unslash( $_POST['hosts'] ) ) ) : '';
		$stored     = get_option( self::SETTINGS );
		if ( isset( self::rules()[ $rule ] ) && ( 'capability' !== $rule || '' !== $capability ) ) {
			update_option(
				self::SETTINGS,
				array(
					'rule'       => $rule,
					'capability' => $capability,
					'hosts'      => $hosts,
				) + ( is_array( $stored ) ? $stored : array() )
			);
		}
		wp_safe_redirect(
			add_query_arg(
				array(
					'page'    => self::PAGE,
					'updated' => '1',
				),
				admin_url( 'tools.php' )
			)
		);
		exit;
	}

	/**
	 * Returns the names of hosts in a text, with spaces between.
	 *
	 * @param string $text What somebody typed.
	 */
	private static function hosts( string $text ): string {
		$names = (array) preg_split( '/[\s,]+/', strtolower( $text ), -1, PREG_SPLIT_NO_EMPTY );
		return implode( ' ', (array) preg_grep( '/\A(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,63}\z/', $names ) );
	}

	/**
	 * Prints the screen.
	 */
	public static function render(): void {
		if ( ! current_user_can( MANAGE ) ) {
			return;
		}
		echo '<div class="wrap"><h1>' . esc_html__( 'Private spaces', 'pme-embed' ) . '</h1>';
		if ( ! Keys::are_outside_database() ) {
			echo '<div class="notice notice-warning"><p>' . esc_html__( 'wp-config.php has no unique keys and salts, so the key to the links is in the database, and in every copy of it. Set AUTH_KEY, AUTH_SALT, SECURE_AUTH_KEY and SECURE_AUTH_SALT.', 'pme-embed' ) . '</p></div>';
		}
		self::render_spaces();
		if ( current_user_can( 'manage_options' ) ) {
			self::render_settings();
		}
		echo '</div>';
	}

	/**
	 * Prints the table of spaces.
	 */
	private static function render_spaces(): void {
		$states = array(
			'shown'      => __( 'Shown', 'pme-embed' ),
			'missing'    => __( 'No link: add the model to the placements of pme-airflow, or wait for its next run', 'pme-embed' ),
			'unreadable' => __( 'Stored with other salts: the next run of pme-airflow stores it again', 'pme-embed' ),
		);
		echo '<table class="widefat striped"><thead><tr>';
		foreach ( array( __( 'Model', 'pme-embed' ), __( 'State', 'pme-embed' ), __( 'Until', 'pme-embed' ), __( 'Audience', 'pme-embed' ), __( 'Used in', 'pme-embed' ) ) as $title ) {
			echo '<th scope="col">' . esc_html( $title ) . '</th>';
		}
		echo '</tr></thead><tbody>';
		$rows = Usage::overview();
		foreach ( $rows as $row ) {
			$until = '' === $row['valid_until'] ? '' : wp_date( get_option( 'date_format' ) . ' ' . get_option( 'time_format' ), (int) strtotime( $row['valid_until'] ) );
			printf(
				'<tr><td><code>%s</code> %s</td><td>%s</td><td>%s</td><td>%s</td><td>',
				esc_html( $row['model_id'] ),
				esc_html( $row['name'] ),
				esc_html( $states[ $row['state'] ] ),
				esc_html( (string) $until ),
				esc_html( $row['audience'] )
			);
			self::render_posts( $row['posts'] );
			echo '</td></tr>';
		}
		if ( ! $rows ) {
			echo '<tr><td colspan="5">' . esc_html__( 'No space is shown yet. Insert the block "Private space", or write [pme model="…"] in a page.', 'pme-embed' ) . '</td></tr>';
		}
		echo '</tbody></table>';
	}

	/**
	 * Prints links to posts; those that the user may not read are counted only.
	 *
	 * @param int[] $posts Their numbers.
	 */
	private static function render_posts( array $posts ): void {
		$readable = array_filter( $posts, static fn( $post ) => current_user_can( 'read_post', $post ) );
		foreach ( array_slice( $readable, 0, self::MOST ) as $post ) {
			$title = get_the_title( $post );
			$title = '' === $title ? '#' . $post : $title;
			printf( '<a href="%s">%s</a><br>', esc_url( (string) get_permalink( $post ) ), esc_html( $title ) );
		}
		$more = count( $posts ) - min( count( $readable ), self::MOST );
		if ( $more > 0 ) {
			/* translators: %d: a number of pages. */
			echo esc_html( sprintf( _n( 'and %d more', 'and %d more', $more, 'pme-embed' ), $more ) );
		}
		if ( ! $posts ) {
			esc_html_e( 'nowhere', 'pme-embed' );
		}
	}

	/**
	 * Prints the form.
	 */
	private static function render_settings(): void {
		echo '<h2>' . esc_html__( 'Who may see spaces', 'pme-embed' ) . '</h2>';
		echo '<form method="post" action="' . esc_url( admin_url( 'admin-post.php' ) ) . '"><input type="hidden" name="action" value="pme_embed_settings">';
		wp_nonce_field( self::SETTINGS );
		foreach ( self::rules() as $name => $label ) {
			printf( '<p><label><input type="radio" name="rule" value="%s"%s> %s</label>', esc_attr( $name ), checked( setting( 'rule' ), $name, false ), esc_html( $label ) );
			if ( 'capability' === $name ) {
				printf( ' <input type="text" name="capability" value="%s" aria-label="%s">', esc_attr( setting( 'capability' ) ), esc_attr__( 'Capability', 'pme-embed' ) );
			}
			echo '</p>';
		}
		printf(
			'<p><label>%s <input type="text" class="regular-text" name="hosts" value="%s"></label></p>',
			esc_html__( 'Hosts whose links are shown:', 'pme-embed' ),
			esc_attr( setting( 'hosts' ) )
		);
		submit_button();
		echo '</form>';
	}
}
