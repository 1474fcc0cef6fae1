"""What an attacker would write: into texts, parameters, paths and headers."""

TEXTS = (
    "<script>document.title='ran'</script>", "<ScRiPt src=//evil.example/x.js></sCrIpT>", "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>", "<iframe src=javascript:alert(1)>", "<object data=//evil.example>", "<embed src=//evil.example>",
    "<body onload=alert(1)>", "<details open ontoggle=alert(1)>", "<input autofocus onfocus=alert(1)>", "<select autofocus onfocus=alert(1)>",
    "<video><source onerror=alert(1)>", "<audio src=x onerror=alert(1)>", "<marquee onstart=alert(1)>", "<math href=javascript:alert(1)>x</math>",
    "<a href=javascript:alert(1)>x</a>", "<a href='data:text/html,<script>alert(1)</script>'>x</a>", "<form action=//evil.example><button>x", "<base href=//evil.example>",
    "<link rel=stylesheet href=//evil.example>", "<meta http-equiv=refresh content='0;url=//evil.example'>", "<style>*{display:none}</style>", "<style>@import '//evil.example'</style>",
    "<div style=position:fixed;inset:0>", "<template><script>alert(1)</script></template>", "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>", "<!--><script>alert(1)</script-->",
    "<![CDATA[<script>alert(1)</script>]]>", "</title><script>alert(1)</script>", "</textarea><script>alert(1)</script>", "</option></select><script>alert(1)</script>",
    "\"><script>alert(1)</script>", "'><script>alert(1)</script>", "\" onmouseover=alert(1) x=\"", "' onmouseover=alert(1) x='",
    "` onmouseover=alert(1) x=`", "\" autofocus onfocus=alert(1) \"", "javascript:alert(1)", "data:text/html,<script>alert(1)</script>",
    "//evil.example/x", "https://evil.example/x", "&lt;script&gt;alert(1)&lt;/script&gt;", "&#60;script&#62;alert(1)&#60;/script&#62;",
    "\\u003cscript\\u003ealert(1)\\u003c/script\\u003e", "%3Cscript%3Ealert(1)%3C/script%3E", "{{7*7}}", "{{ self.__init__.__globals__ }}",
    "{% for x in ().__class__.__base__.__subclasses__() %}{{x}}{% endfor %}", "{{ ''.__class__.__mro__ }}", "${7*7}", "<%= 7*7 %>",
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x1b[2J", "\x9b31m", "\x07", "\x08\x08\x08", "\r\noverwritten", "\x00",
    "\u202eevil", "\u2066evil\u2069", "\u200b\u200bempty", "\ufeffmark", "a\u0301" * 50, "\U000e0041\U000e0042", "\ud7ff\ue000", "line\u2028break",
    "' OR 1=1 --", "\"; DROP TABLE pairs; --", "') UNION SELECT * FROM pairs --", "NEAR(a b)", "a AND OR NOT", "text:*", "\"unclosed", "* * *", "^a", "{a b}: c",
    "../../../etc/passwd", "/etc/passwd", "..\\..\\windows\\win.ini", "file:///etc/passwd", "php://filter", "~root", "$(id)", "`id`", "| id", "; id",
    "x" * 1500, "<" * 500, "=cmd|' /C calc'!A0", "@SUM(1+1)", "\r\nSet-Cookie: evil=1", "\r\n\r\n<script>alert(1)</script>", "%0d%0aSet-Cookie:%20evil=1", "null", "NaN", "-1e999",
)  # fmt: skip
PATHS = (
    "/../etc/passwd", "/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/static/%2e%2e%2fapp.py", "/static//etc/passwd", "/static/....//app.py",
    "/static/studio.css/../../app.py", "/static/studio.css%00.js", "/static/.%00./app.py", "/static", "/static/", "/static/nothing.js", "/static/templates/base.html.jinja",
    "/%2e%2e/%2e%2e/etc/passwd", "/..%5c..%5capp.py", "/pairs/../static/../app.py", "/pairs/-1", "/pairs/1e9", "/pairs/99999999999999999999", "/pairs/0/..", "/pairs/0x0", "/pairs/%00",
    "/pairs/<script>alert(1)</script>", "/pairs/%3Cscript%3Ealert(1)%3C/script%3E", "/prompt/../../run.yaml", "/run.yaml", "/manifest.json", "/calls.sqlite", "/data/preferences/train.parquet",
    "/.git/config", "/.env", "/proc/self/environ", "/file:///etc/passwd", "/http://evil.example/", "/\\evil.example", "/;/pairs", "/pairs;x=1", "/%2fevil.example", "/.%2e/.%2e/etc/passwd",
)  # fmt: skip
HOSTS = (
    "evil.example", "evil.example:8000", "127.0.0.1", "127.0.0.1:80", "127.0.0.1:8001", "localhost", "localhost:8001", "127.0.0.1:8000.evil.example", "evil.example#127.0.0.1:8000",
    "evil.example@127.0.0.1:8000", "127.0.0.1:8000@evil.example", "127.0.0.1:8000/evil", "127.0.0.1:8000,evil.example", "0.0.0.0:8000", "0:8000", "127.1:8000", "2130706433:8000", "[::]:8000",
    "[::ffff:127.0.0.1]:8000", "localhost.:8000", "localhost.evil.example:8000", "127.0.0.1.nip.io:8000", "127.0.0.1:08000", "127.0.0.1:+8000", " 127.0.0.1:8001", "", "*", "null", "169.254.169.254",
)  # fmt: skip
ORIGINS = (
    "null", "http://evil.example", "https://127.0.0.1:8000", "http://127.0.0.1", "http://127.0.0.1:8001", "http://localhost:8000", "http://127.0.0.1:8000.evil.example", "http://127.0.0.1:8000/",
    "http://evil.example@127.0.0.1:8000", "http://127.0.0.1:8000@evil.example", "file://", "data:", "chrome-extension://abc", "HTTP://127.0.0.1:8000 http://evil.example", "http://[::1]:8000", "ws://127.0.0.1:8000",
    "http://127.0.0.1:8000, http://evil.example", "http://127.0.0.1:8000#x", "http://127.0.0.1:8000?x", "//127.0.0.1:8000", "127.0.0.1:8000", "",
)  # fmt: skip
TOKENS = (
    "", "x", "token", "token-of-this-test-which-is-long-enoug", "token-of-this-test-which-is-long-enough ", "token-of-this-test-which-is-long-enough\x00", "TOKEN-OF-THIS-TEST-WHICH-IS-LONG-ENOUGH",
    "token-of-this-test-which-is-long-enough;", "null", "true", "{}", "[]", "' OR 1=1 --", "../..", "\u0661\u0662", "x" * 4000,
)  # fmt: skip
