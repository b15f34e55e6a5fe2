<?php
/**
 * Plugin Name: Delete single revisions over REST
 * Description: WordPress lets nobody delete a single revision. With this plugin, an account that may delete a page may
 *              also delete its revisions over REST, so that pme-airflow can remove old private links from them.
 *
 * Copy it to wp-content/mu-plugins/.
 */
add_filter('map_meta_cap', function ($caps, $cap, $user_id, $args) {
    $post = $cap === 'delete_post' && isset($args[0]) ? get_post($args[0]) : null;
    if ($post && $post->post_type === 'revision' && $post->post_parent) {
        return map_meta_cap('delete_post', $user_id, $post->post_parent);
    }
    return $caps;
}, 10, 4);
