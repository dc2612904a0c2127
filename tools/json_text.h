/* Text in JSON, and what UTF-8 is. */
#pragma once

#include <stddef.h>
#include <stdio.h>

/* `len` bytes as a JSON string, quotes and all. What is not UTF-8 becomes U+FFFD, a byte each. */
void json_print_text(FILE *out, const char *text, size_t len);

/* The bytes of the well-formed UTF-8 sequence that `p` begins with, len > 0; 0: it begins with
 * none.
 */
size_t utf8_sequence(const unsigned char *p, size_t len);
