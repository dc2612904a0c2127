#include "recordfsctl_json.h"

#include <math.h>
#include <stdbool.h>

/* The bytes of the character that `p` begins with, of `n`; 0: it is not UTF-8. */
static size_t character(const unsigned char *p, size_t n)
{
	static const unsigned char least[] = {0, 0x80, 0xa0, 0x90};
	size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (len == 0 || len > n || p[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* The shortest form, no surrogates, nothing above U+10FFFF. */
	bool shortest = len < 3 || p[0] != (len == 3 ? 0xe0 : 0xf0) || p[1] >= least[len - 1];
	bool surrogate = p[0] == 0xed && len == 3 && p[1] >= 0xa0;
	bool above = p[0] == 0xf4 && p[1] >= 0x90;
	return shortest && !surrogate && !above ? len : 0;
}

static bool is_utf8(const unsigned char *p, size_t n)
{
	while (n > 0) {
		size_t len = character(p, n);
		if (len == 0)
			return false;
		p += len;
		n -= len;
	}
	return true;
}

static void put_escaped(FILE *out, unsigned char c)
{
	if (c == '"' || c == '\\')
		fprintf(out, "\\%c", c);
	else if (c == '\n')
		fputs("\\n", out);
	else if (c == '\t')
		fputs("\\t", out);
	else if (c < ' ' || c == 0x7f)
		fprintf(out, "\\u%04x", (unsigned)c);
	else
		fputc(c, out);
}

void json_bytes(FILE *out, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	fputc('"', out);
	if (is_utf8(p, n)) {
		for (size_t i = 0; i < n; i++)
			put_escaped(out, p[i]);
	} else {
		fputs("hex:", out);
		for (size_t i = 0; i < n; i++)
			fprintf(out, "%02x", (unsigned)p[i]);
	}
	fputc('"', out);
}

void json_number(FILE *out, double value)
{
	if (isfinite(value))
		fprintf(out, "%.17g", value);
	else
		fputs("null", out);
}
