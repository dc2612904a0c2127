/* Values as JSON, on a stream. */
#pragma once

#include <stddef.h>
#include <stdio.h>

/* As a string: what is UTF-8 as it is, anything else as hexadecimal digits after "hex:". */
void json_bytes(FILE *out, const void *bytes, size_t n);

/* null for what JSON has no number for. */
void json_number(FILE *out, double value);
