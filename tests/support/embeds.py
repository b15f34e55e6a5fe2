"""How people embed Matterport spaces in WordPress, with invented ids: the source, and what it is once it is taken over.

``{E}`` stands for the model's own embed.
"""

from __future__ import annotations

import base64
from urllib.parse import quote

MODEL, OTHER = "Mi11Street4", "0therMode1x"
SHOW = f"https://my.matterport.com/show/?m={MODEL}"
AMP = f"https://my.matterport.com/show/?play=1&amp;m={MODEL}&amp;qs=1"
FRAME = f'<iframe src="{SHOW}"></iframe>'
BLOCK = "<!-- wp:html -->\n{E}\n<!-- /wp:html -->"
BEFORE = "<!-- wp:paragraph -->\n<p>Before</p>\n<!-- /wp:paragraph -->\n\n"
AFTER = "\n\n<!-- wp:paragraph -->\n<p>After</p>\n<!-- /wp:paragraph -->"


def encoded(html: str) -> str:
    """HTML as WPBakery keeps it."""
    return base64.b64encode(quote(html, safe="").encode()).decode()


#: In pages that are made of blocks.
IN_BLOCKS: dict[str, tuple[str, str]] = {
    "html, as the vendor gives it": (
        f"<!-- wp:html -->\n<iframe width='853' height='480' src='{SHOW}' frameborder='0' allowfullscreen "
        "allow='xr-spatial-tracking'></iframe>\n<!-- /wp:html -->",
        BLOCK,
    ),
    "html, attributes in another order": (
        f'<!-- wp:html -->\n<iframe allowfullscreen title="a > b" src="{AMP}"></iframe>\n<!-- /wp:html -->',
        BLOCK,
    ),
    "html, no quotes": (f"<!-- wp:html -->\n<iframe src={SHOW} width=100%></iframe>\n<!-- /wp:html -->", BLOCK),
    "html, upper case": (f'<!-- wp:html -->\n<IFRAME SRC="{SHOW}"></IFRAME>\n<!-- /wp:html -->', BLOCK),
    "html, on several lines": (
        f'<!-- wp:html -->\n<iframe\n  width="100%"\n  src="{SHOW}"\n  allowfullscreen\n></iframe>\n<!-- /wp:html -->',
        BLOCK,
    ),
    "html, in wrappers": (
        f'<!-- wp:html -->\n<div class="embed-responsive">{FRAME}</div>\n<p>Caption</p>\n<!-- /wp:html -->',
        '<!-- wp:html -->\n<div class="embed-responsive">{E}</div>\n<p>Caption</p>\n<!-- /wp:html -->',
    ),
    "html, fallback text": (
        f'<!-- wp:html -->\n<iframe src="{SHOW}"><p>Your browser shows no frames.</p></iframe>\n<!-- /wp:html -->',
        BLOCK,
    ),
    "html, lazy": (
        f'<!-- wp:html -->\n<iframe class="lazyload" src="about:blank" data-src="{AMP}" loading="lazy"></iframe>'
        f"<noscript><iframe src='{SHOW}'></iframe></noscript>\n<!-- /wp:html -->",
        BLOCK,
    ),
    "html, noscript first": (
        f"<!-- wp:html -->\n<noscript>{FRAME}</noscript><iframe data-lazy-src='{SHOW}'></iframe>\n<!-- /wp:html -->",
        BLOCK,
    ),
    "html, consent": (
        f'<!-- wp:html -->\n<iframe data-cmplz-src="{SHOW}" class="cmplz-placeholder"></iframe>\n<!-- /wp:html -->',
        BLOCK,
    ),
    "html, srcdoc": (
        f'<!-- wp:html -->\n<iframe srcdoc="&lt;a href=&quot;{SHOW}&quot;&gt;Tour&lt;/a&gt;"></iframe>\n'
        "<!-- /wp:html -->",
        BLOCK,
    ),
    "html, web component": (
        f'<!-- wp:html -->\n<matterport-viewer m="{MODEL}" application-key="k"></matterport-viewer>\n<!-- /wp:html -->',
        BLOCK,
    ),
    "html, object": (
        f'<!-- wp:html -->\n<object data="{SHOW}" width="400"><embed src="{SHOW}"></object>\n<!-- /wp:html -->',
        BLOCK,
    ),
    "html, facade": (
        f'<!-- wp:html -->\n<div class="matterport-facade" data-src="{SHOW}"><div><img src="t.jpg"></div></div>\n'
        "<!-- /wp:html -->",
        BLOCK,
    ),
    "html, facade with other data": (
        f'<!-- wp:html -->\n<div id="Matterport" data-title="Mill" data-src="{SHOW}" data-height="9"><b></b></div>\n'
        "<!-- /wp:html -->",
        BLOCK,
    ),
    "html, facade by id": (
        f'<!-- wp:html -->\n<span class="matterport" data-model="{MODEL}" data-x="1"></span>\n<!-- /wp:html -->',
        BLOCK,
    ),
    "html, self-closed": (f'<!-- wp:html -->\n<iframe src="{SHOW}" />\n<!-- /wp:html -->', BLOCK),
    "embed": (
        f'<!-- wp:embed {{"url":"{SHOW}","type":"rich","providerNameSlug":"matterport","responsive":true}} -->\n'
        '<figure class="wp-block-embed is-type-rich is-provider-matterport"><div class="wp-block-embed__wrapper">\n'
        f"{SHOW}\n</div></figure>\n<!-- /wp:embed -->",
        BLOCK,
    ),
    "embed, parameters": (
        '<!-- wp:embed {"url":"https://my.matterport.com/show/?play=1\\u0026m=' + MODEL + '"} -->\n'
        f'<figure class="wp-block-embed"><div class="wp-block-embed__wrapper">\n{AMP}\n</div></figure>\n'
        "<!-- /wp:embed -->",
        BLOCK,
    ),
    "embed, caption": (
        f'<!-- wp:embed {{"url":"{SHOW}"}} -->\n<figure class="wp-block-embed"><div '
        f'class="wp-block-embed__wrapper">\n{SHOW}\n</div><figcaption>The mill</figcaption></figure>\n<!-- /wp:embed -->',
        '<!-- wp:html -->\n<figure class="wp-block-embed"><div class="wp-block-embed__wrapper">\n{E}\n</div>'
        "<figcaption>The mill</figcaption></figure>\n<!-- /wp:html -->",
    ),
    "embed, of old": (
        f'<!-- wp:core-embed/wordpress {{"url":"{SHOW}"}} -->\n<figure class="wp-block-embed-wordpress"><div '
        f'class="wp-block-embed__wrapper">\n{SHOW}\n</div></figure>\n<!-- /wp:core-embed/wordpress -->',
        BLOCK,
    ),
    "paragraph, an address alone": (f"<!-- wp:paragraph -->\n<p>{SHOW}</p>\n<!-- /wp:paragraph -->", BLOCK),
    "paragraph, an iframe": (f"<!-- wp:paragraph -->\n<p>{FRAME}</p>\n<!-- /wp:paragraph -->", BLOCK),
    "paragraph, an iframe amid text": (
        f'<!-- wp:paragraph {{"align":"center"}} -->\n<p class="has-text-align-center">See {FRAME} it</p>\n'
        "<!-- /wp:paragraph -->",
        '<!-- wp:paragraph {"align":"center"} -->\n<p class="has-text-align-center">See </p>\n<!-- /wp:paragraph -->\n\n'
        f"{BLOCK}\n\n"
        '<!-- wp:paragraph {"align":"center"} -->\n<p class="has-text-align-center"> it</p>\n<!-- /wp:paragraph -->',
    ),
    "shortcode, iframe": (f'<!-- wp:shortcode -->\n[iframe src="{SHOW}" width="100%"]\n<!-- /wp:shortcode -->', BLOCK),
    "shortcode, plugin": (
        f'<!-- wp:shortcode -->\n[matterport src="{MODEL}" width="900"]\n<!-- /wp:shortcode -->',
        BLOCK,
    ),
    "shortcode, gallery": (
        f'<!-- wp:shortcode -->\n[matterport cols="3" src="{OTHER},{MODEL}"]\n<!-- /wp:shortcode -->',
        f'<!-- wp:shortcode -->\n[matterport cols="3" src="{OTHER}"]\n<!-- /wp:shortcode -->\n\n{BLOCK}',
    ),
    "group": (
        '<!-- wp:group -->\n<div class="wp-block-group"><!-- wp:html -->\n' + FRAME + "\n<!-- /wp:html --></div>\n"
        "<!-- /wp:group -->",
        f'<!-- wp:group -->\n<div class="wp-block-group">{BLOCK}</div>\n<!-- /wp:group -->',
    ),
    "columns": (
        '<!-- wp:columns -->\n<div class="wp-block-columns"><!-- wp:column -->\n<div class="wp-block-column">'
        f"<!-- wp:paragraph -->\n<p>{SHOW}</p>\n<!-- /wp:paragraph --></div>\n<!-- /wp:column --></div>\n"
        "<!-- /wp:columns -->",
        '<!-- wp:columns -->\n<div class="wp-block-columns"><!-- wp:column -->\n<div class="wp-block-column">'
        f"{BLOCK}</div>\n<!-- /wp:column --></div>\n<!-- /wp:columns -->",
    ),
    "freeform, explicit": (
        f"<!-- wp:freeform -->\n<p>Text {FRAME}</p>\n<!-- /wp:freeform -->",
        "<!-- wp:freeform -->\n<p>Text {E}</p>\n<!-- /wp:freeform -->",
    ),
    "freeform, between blocks": (FRAME, BLOCK),
    "freeform, in an element": (f"<div class='tour'>{FRAME}</div>", "<div class='tour'>{E}</div>"),
    "plugin's block, by id": (f'<!-- wp:acme/matterport-tour {{"modelId":"{MODEL}"}} /-->', BLOCK),
    "plugin's block, by address": (
        f'<!-- wp:embedpress/embedpress {{"url":"{SHOW}"}} -->\n<div class="ep"></div>\n<!-- /wp:embedpress/embedpress -->',
        BLOCK,
    ),
    "plugin's block, static": (
        f'<!-- wp:acme/tour {{"link":"{SHOW}"}} -->\n<div class="wp-block-acme-tour">{FRAME}</div>\n<!-- /wp:acme/tour -->',
        BLOCK,
    ),
    "plugin's block, with text": (
        f'<!-- wp:acme/tour {{"link":"{SHOW}"}} -->\n<div class="tour">{FRAME}<h3>Mill</h3></div>\n<!-- /wp:acme/tour -->',
        '<!-- wp:html -->\n<div class="tour">{E}<h3>Mill</h3></div>\n<!-- /wp:html -->',
    ),
    "list item": (
        f"<!-- wp:list -->\n<ul><!-- wp:list-item -->\n<li>Mill {FRAME}</li>\n<!-- /wp:list-item --></ul>\n<!-- /wp:list -->",
        "<!-- wp:list -->\n<ul><!-- wp:list-item -->\n<li>Mill </li>\n<!-- /wp:list-item --></ul>\n<!-- /wp:list -->\n\n"
        + BLOCK,
    ),
    "twice": (
        f"<!-- wp:html -->\n{FRAME}\n<!-- /wp:html -->\n\n<!-- wp:paragraph -->\n<p>{SHOW}</p>\n<!-- /wp:paragraph -->",
        f"{BLOCK}\n\n",
    ),
}

#: In classic pages, which are not.
CLASSIC: dict[str, tuple[str, str]] = {
    "iframe": (FRAME, "{E}"),
    "iframe in a paragraph": (f"<p>{FRAME}</p>", "<p>{E}</p>"),
    "iframe, other paths": (
        f"<iframe src='https://my.matterport.com/models/{MODEL}'></iframe>",
        "{E}",
    ),
    "iframe, discover": (f'<iframe src="https://discover.matterport.com/space/{MODEL}"></iframe>', "{E}"),
    "iframe, work": (f'<iframe src="https://my.matterport.com/work/?m={MODEL}&amp;back=1"></iframe>', "{E}"),
    "iframe, reseller": (f'<iframe src="https://mpembed.com/show/?m={MODEL}&amp;mpu=885"></iframe>', "{E}"),
    "iframe, no slash": (f'<iframe src="https://my.matterport.com/show?m={MODEL}"></iframe>', "{E}"),
    "iframe, proxied": (
        f'<iframe src="https://consent.example/?u=https%3A%2F%2Fmy.matterport.com%2Fshow%2F%3Fm%3D{MODEL}"></iframe>',
        "{E}",
    ),
    "address alone on a line": (SHOW, "{E}"),
    "address alone, models": (f"https://my.matterport.com/models/{MODEL}", "{E}"),
    "embed shortcode": (f"[embed]{SHOW}[/embed]", "{E}"),
    "embed shortcode, size": (f'[embed width="800" height="600"]{SHOW}[/embed]', "{E}"),
    "embed shortcode, linked": (f'[embed]<a href="{SHOW}">{SHOW}</a>[/embed]', "{E}"),
    "iframe shortcode": (f"[iframe src='{AMP}' width=\"100%\" /]", "{E}"),
    "iframe shortcode, closed": (f'[iframe src="{SHOW}"][/iframe]', "{E}"),
    "advanced iframe": (f'[advanced_iframe securitykey="x" src="{SHOW}"]', "{E}"),
    "plugin, id": (f'[matterport id="{MODEL}"]', "{E}"),
    "plugin, address": (f'[matterport src="{SHOW}" height="600px"]', "{E}"),
    "plugin, gallery": (f'[matterport src="{MODEL}, {OTHER}"]', f'[matterport src="{OTHER}"]{{E}}'),
    "Divi": (
        f'[et_pb_section][et_pb_row][et_pb_code _builder_version="4"]{FRAME}[/et_pb_code][/et_pb_row][/et_pb_section]',
        '[et_pb_section][et_pb_row][et_pb_code _builder_version="4"]{E}[/et_pb_code][/et_pb_row][/et_pb_section]',
    ),
    "Divi, video": (
        f'[et_pb_row][et_pb_video src="{SHOW}" image_src="x.jpg"][/et_pb_video][/et_pb_row]',
        "[et_pb_row]{E}[/et_pb_row]",
    ),
    "WPBakery, video": (f'[vc_video link="{SHOW}" align="center"]', "{E}"),
    "WPBakery": (
        f"[vc_row][vc_column][vc_raw_html]{encoded(FRAME)}[/vc_raw_html][/vc_column][/vc_row]",
        "[vc_row][vc_column]{E}[/vc_column][/vc_row]",
    ),
    "WPBakery, with text": (
        f"[vc_raw_html]{encoded(f'<h2>Mill</h2>{FRAME}')}[/vc_raw_html]",
        f"[vc_raw_html]{encoded('<h2>Mill</h2>')}[/vc_raw_html]{{E}}",
    ),
    "Avada": (f"[fusion_code]{base64.b64encode(FRAME.encode()).decode()}[/fusion_code]", "{E}"),
    "Elementor": (
        f'<div class="elementor-widget-html"><div class="elementor-widget-container">{FRAME}</div></div>',
        '<div class="elementor-widget-html"><div class="elementor-widget-container">{E}</div></div>',
    ),
    "figure": (
        f'<figure class="wp-block-embed"><div class="wp-block-embed__wrapper">\n{SHOW}\n</div></figure>',
        '<figure class="wp-block-embed"><div class="wp-block-embed__wrapper">\n{E}\n</div></figure>',
    ),
    "AMP": (f'<amp-iframe src="{SHOW}" layout="responsive"></amp-iframe>', "{E}"),
}

#: What names a model and shows nothing of it, or another: it stays as it is.
NOT_EMBEDS: dict[str, str] = {
    "a link": f'<p>See <a href="{SHOW}">the tour</a>.</p>',
    "a linked address": f'<p><a href="{SHOW}">{SHOW}</a></p>',
    "an address amid text": f"<p>See {SHOW} now</p>",
    "an address behind a line break": f"<p>See<br>{SHOW}</p>",
    "an address in a list": f"<ul><li>{SHOW}</li></ul>",
    "a thumbnail": f'<img src="https://my.matterport.com/api/v1/player/models/{MODEL}/thumb">',
    "a pop-up": f'<a data-fancybox data-type="iframe" data-src="{SHOW}">Tour</a>',
    "a pop-up of the vendor's name": f'<a class="matterport" data-src="{SHOW}">Tour</a>',
    "a comment": f"<!-- {FRAME} -->",
    "a script": f"<script>document.write('{FRAME}')</script>",
    "code": f'<code>&lt;iframe src="{SHOW}"&gt;&lt;/iframe&gt;</code>',
    "another model": f'<iframe src="https://my.matterport.com/show/?m={OTHER}"></iframe>',
    "a longer id": f'<iframe src="{SHOW}x"></iframe>',
    "a button": f'[button link="{SHOW}"]Tour[/button]',
    "an escaped shortcode": f'[[matterport src="{MODEL}"]]',
    "another iframe": '<iframe src="https://video.example/embed/1"></iframe>',
    "an image's link": f'<!-- wp:image {{"href":"{SHOW}"}} -->\n<figure><img src="x"></figure>\n<!-- /wp:image -->',
    "WPBakery, something else": f"[vc_raw_html]{encoded('<p>Hours</p>')}[/vc_raw_html]",
    "WPBakery, no base64": "[vc_raw_html]A[/vc_raw_html]",
    "WPBakery, no text": f"[vc_raw_html]{base64.b64encode(bytes([255, 254, 0])).decode()}[/vc_raw_html]",
    "another's place": f"<!-- pme:{OTHER} -->{FRAME}<!-- /pme:{OTHER} -->",
}
