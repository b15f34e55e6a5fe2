"""Thirty iframes of spaces in the shapes in which people have them on public pages, with invented ids.

``{M}`` stands for the model's id.
"""

from __future__ import annotations

SHOW = "https://my.matterport.com/show/?m={M}"

FRAMES: dict[str, str] = {
    "vendor's own code": f"<iframe width='853' height='480' src='{SHOW}' frameborder='0' allowfullscreen allow='autoplay; fullscreen; web-share; xr-spatial-tracking;'></iframe>",
    "vendor's earlier code": f"<iframe width='553' height='480' src='{SHOW}' frameborder='1' allowfullscreen allow='vr'></iframe>",
    "bare": f'<iframe src="{SHOW}"></iframe>',
    "parameters after": f'<iframe class="mpp" width="100%" height="100%" src="{SHOW}&brand=0&help=0&play=1&qs=1" frameborder="0" allow-fullscreen></iframe>',
    "parameters before": '<iframe src="https://my.matterport.com/show?play=1&lang=en-US&m={M}" title="Virtual Tour" width="100%" height="500"></iframe>',
    "escaped parameters": f'<iframe src="{SHOW}&amp;play=1&amp;qs=1&amp;title=0" height="600"></iframe>',
    "escaped with numbers": f'<iframe src="{SHOW}&#038;play=1&#038;lang=de"></iframe>',
    "many parameters": f'<iframe src="{SHOW}&log=0&help=0&nt=0&play=1&qs=0&brand=0&dh=1&tour=1&gt=1&hr=1&mls=1&mt=1&tagNav=1&pin=1&portal=1&f=1&fp=1&nozoom=1&search=1&wh=1&kb=1&lp=0&title=0&vr=1" title="Visite virtuelle – Installations Énergétiques" class="w-full h-full" allow="fullscreen"></iframe>',
    "a place in the space": f'<iframe width="1200" height="720" src="{SHOW}&sr=-2.94,-.45&ss=31&sp=1.2,3.4,-5.6" allowfullscreen></iframe>',
    "a view's start": f'<iframe src="{SHOW}&start=%7B%22a%22%3A1%7D&mls=2"></iframe>',
    "sdk key": '<iframe width="853" height="480" src="https://my.matterport.com/show?m={M}&play=1&applicationKey=5kic0ie0efzhec000s0000usc" frameborder="0" allow="fullscreen; vr" id="showcase-iframe"></iframe>',
    "without slash": '<iframe id="showcase-iframe" width="710" height="400" src="https://my.matterport.com/show?m={M}" frameBorder="0" allowFullScreen allow="xr-spatial-tracking"></iframe>',
    "without scheme": '<iframe src="//my.matterport.com/show/?m={M}&play=1" style="border:0"></iframe>',
    "no quotes": f"<iframe src={SHOW} width=100% height=400></iframe>",
    "upper case": f'<IFRAME SRC="{SHOW}" WIDTH="640" HEIGHT="360"></IFRAME>',
    "on several lines": f'<iframe\n  width="100%"\n  height="400"\n  src="{SHOW}"\n  frameborder="0"\n  allowfullscreen\n  allow="xr-spatial-tracking">\n</iframe>',
    "spaces around equals": f'<iframe title = "Hall" src = "{SHOW}" class = "tour"></iframe>',
    "style": f'<iframe src="{SHOW}" style="border: none; width: 100%; aspect-ratio: 16/9; border-radius: 12px"></iframe>',
    "lazy by the browser": f'<iframe loading="lazy" src="{SHOW}" title="3D tour" allow="fullscreen; xr-spatial-tracking"></iframe>',
    "lazy by a script": f'<iframe class="lazyload" src="about:blank" data-src="{SHOW}&amp;play=1" loading="lazy"></iframe>',
    "lazy by a plugin": f'<iframe data-lazy-src="{SHOW}" data-ll-status="loaded" src="about:blank"></iframe>',
    "lazy and loaded": f'<iframe src="{SHOW}&play=1" data-src="{SHOW}&play=1" class="entered loaded"></iframe>',
    "consent": f'<iframe data-cmplz-src="{SHOW}" class="cmplz-placeholder" data-category="marketing"></iframe>',
    "title with signs": f'<iframe title="a > b &amp; &quot;c&quot;" aria-label="Halle 3 – größer" src="{SHOW}"></iframe>',
    "fallback text": f'<iframe src="{SHOW}" width="800" height="600"><p>Your browser shows no frames.</p></iframe>',
    "sandbox": f'<iframe sandbox="allow-scripts allow-same-origin allow-popups" referrerpolicy="origin" src="{SHOW}"></iframe>',
    "fragment": f'<iframe src="{SHOW}&play=1#tour" name="tour"></iframe>',
    "event handler": f'<iframe onload="this.style.opacity=1" src="{SHOW}"></iframe>',
    "blank first": f'<iframe src=" {SHOW}&play=1 " scrolling="no"></iframe>',
    "an earlier token": f'<iframe src="{SHOW}&auth=Bearer+0ld0token0of0somebody0else&play=1" width="1024"></iframe>',
}
