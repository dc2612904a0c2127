/* What a page is made of. */

#include "json_text.h"
#include "recordfsctl_report.h"

#include <math.h>
#include <string.h>

/* Colours come in two sets, for a light and a dark screen; nothing is told by colour alone. */
static const char style[] =
	":root{color-scheme:light dark;--page:#f6f6f3;--card:#fff;--ink:#14140f;--soft:#5c5b56;"
	"--line:#e2e1dc;--a:#2a78d6;--b:#eb6834;--c:#1baf7a;--bad:#b3261e;--bad-back:#fdecea;"
	"--good:#12794a}\n"
	"@media (prefers-color-scheme:dark){:root{--page:#111110;--card:#1b1b19;--ink:#f3f2ee;"
	"--soft:#b0aea6;--line:#363530;--a:#3987e5;--b:#d95926;--c:#199e70;--bad:#ff9c92;"
	"--bad-back:#3a1815;--good:#5fd39b}}\n"
	"*{box-sizing:border-box}\n"
	"body{margin:0;background:var(--page);color:var(--ink);font:15px/1.45 system-ui,sans-serif}"
	"\nmain{max-width:1160px;margin:0 auto;padding:24px 20px 48px}\n"
	"h1{font-size:24px;margin:0 0 4px;overflow-wrap:anywhere}\n"
	"h2{font-size:17px;margin:0 0 10px}\n"
	"h3{font-size:14px;font-weight:600;margin:0 0 4px}\n"
	"section{background:var(--card);border:1px solid var(--line);border-radius:8px;"
	"padding:16px 18px;margin-top:16px;overflow-x:auto}\n"
	"p{margin:4px 0}.soft,th,dt{color:var(--soft);font-weight:400}\n"
	".warn{background:var(--bad-back);border:1px solid var(--bad);border-radius:8px;"
	"padding:10px 14px;margin-top:12px;font-weight:600;overflow-wrap:anywhere}\n"
	".bad{color:var(--bad);font-weight:600}.good{color:var(--good);font-weight:600}\n"
	".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;"
	"margin-top:16px}\n"
	".tile{background:var(--card);border:1px solid var(--line);border-radius:8px;"
	"padding:10px 14px}\n"
	".tile b{display:block;font-size:22px;font-weight:600}.tile span{color:var(--soft);"
	"font-size:13px}\n"
	".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(440px,100%),1fr));"
	"gap:20px 28px}\n"
	"dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;margin:10px 0 0}"
	"dd{margin:0;overflow-wrap:anywhere}\n"
	"table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\n"
	"th,td{text-align:right;padding:3px 0 3px 16px;border-bottom:1px solid var(--line);"
	"white-space:nowrap}th{font-size:13px;text-align:right}\n"
	"th:first-child,td:first-child{text-align:left;padding-left:0}\n"
	"td.name{white-space:normal;overflow-wrap:anywhere;min-width:140px}\n"
	"td.text,th.text{text-align:left;white-space:normal}\n"
	"td.bar{width:34%;min-width:120px}"
	".bar i{display:block;height:12px;border-radius:0 3px 3px 0;background:var(--a)}\n"
	"svg{display:block;width:100%;height:auto}svg text{fill:var(--soft);font:11px system-ui,"
	"sans-serif}\n"
	".grid{stroke:var(--line);stroke-width:1}\n"
	"polyline{fill:none;stroke-width:2;stroke-linejoin:round}\n"
	".s0{stroke:var(--a)}.s1{stroke:var(--b);stroke-dasharray:7 3}"
	".s2{stroke:var(--c);stroke-dasharray:2 3}\n"
	".hit{fill:transparent}.hit:hover{fill:var(--soft);fill-opacity:.18}\n"
	".key{font-size:13px;color:var(--soft);margin:0 0 2px}.key i{display:inline-block;"
	"width:20px;border:0 solid;border-top-width:3px;margin:0 6px 4px 0}"
	".key span{margin-right:14px;white-space:nowrap}\n"
	".key .k0{border-color:var(--a)}.key .k1{border-color:var(--b);border-style:dashed}"
	".key .k2{border-color:var(--c);border-style:dotted}\n"
	".f0{fill:var(--a)}.f2{fill:var(--soft)}\n"
	"details{margin-top:8px}summary{cursor:pointer;color:var(--soft)}\n";

/* The picture of a control character. */
static void put_control(FILE *out, unsigned char c)
{
	fprintf(out, "&#x%x;", c == 0x7f ? 0x2421u : 0x2400u + c);
}

static void put_character(FILE *out, const unsigned char *p, size_t n)
{
	if (strchr("&<>\"'", *p) && *p)
		fprintf(out, "&#%u;", (unsigned)*p);
	else if (*p < ' ' || *p == 0x7f)
		put_control(out, *p);
	else
		fwrite(p, 1, n, out);
}

/* U+0080 to U+009F, control characters as well, and those that turn the direction of text, U+200E,
 * U+200F, U+202A to U+202E, U+2066 to U+2069: what is shown would not be the order of the name. */
static bool misleads(const unsigned char *p, size_t n)
{
	if (n == 2)
		return p[0] == 0xc2 && p[1] < 0xa0;
	if (n != 3 || p[0] != 0xe2)
		return false;
	return (p[1] == 0x80 && (p[2] == 0x8e || p[2] == 0x8f || (p[2] >= 0xaa && p[2] <= 0xae))) ||
	       (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9);
}

void html_text(FILE *out, const char *text, size_t max)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + strnlen(text, max);
	while (p < end) {
		size_t n = utf8_sequence(p, (size_t)(end - p));
		if (n == 0 || misleads(p, n))
			fputs("&#xfffd;", out);
		else
			put_character(out, p, n);
		p += n ? n : 1;
	}
}

void html_begin(FILE *out, const char *title)
{
	fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
	      "style-src 'unsafe-inline'\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	      "<title>recordfs: ",
		out);
	html_text(out, title, SIZE_MAX);
	fprintf(out, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n", style);
}

void html_end(FILE *out)
{
	fputs("</main>\n</body>\n</html>\n", out);
}

void html_bar(FILE *out, double value, double most)
{
	double percent = most > 0 ? 100 * value / most : 0;
	fputs("<td class=\"bar\">", out);
	if (value > 0)
		fprintf(out, "<i style=\"width:%.2f%%\"></i>", fmax(percent, 0.5));
	fputs("</td>", out);
}
