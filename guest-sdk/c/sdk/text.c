//! Texts, and log lines made of them.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "abi.h"

lantern_text lantern_string(const char *constant) { return (lantern_text){constant, strlen(constant)}; }

lantern_text lantern_copy(const char *bytes, size_t length) {
    return (lantern_text){memcpy(lantern_allocate(length), bytes, length), length};
}

bool lantern_equal(lantern_text one, lantern_text other) {
    return one.length == other.length && !memcmp(one.bytes, other.bytes, one.length);
}

bool lantern_is(const lantern_event *event, const char *type) {
    return lantern_equal(event->type, lantern_string(type));
}

struct draft { char *bytes; size_t length, room; };

/// The place of the next `length` bytes and of a zero behind them.
static char *extend(struct draft *draft, size_t length) {
    if (draft->length + length >= draft->room) {
        draft->room = (draft->length + length + 1) * 2;
        draft->bytes = memcpy(lantern_allocate(draft->room), draft->bytes ? draft->bytes : "", draft->length);
    }
    draft->length += length;
    return draft->bytes + draft->length - length;
}

#define PRINT(value)                                                  \
    do {                                                              \
        typeof(value) printed = value;                                \
        int length = snprintf(NULL, 0, directive, printed);           \
        snprintf(extend(&draft, length), length + 1, directive, printed); \
    } while (0)

// One directive after the other, because vsnprintf ends a text at its first zero byte.
lantern_text lantern_format_list(const char *format, va_list arguments) {
    struct draft draft = {};
    while (*format) {
        size_t length = strcspn(format, "%");
        memcpy(extend(&draft, length), format, length);
        format += length;
        if (!*format) break;
        char directive[32] = {};
        length = strcspn(format + 1, "diouxXcsfFeEgGaAp%") + 2;
        memcpy(directive, format, length < sizeof directive ? length : sizeof directive - 1);
        format += length;
        char last = directive[length - 1];
        if (!strcmp(directive, "%.*s")) {
            length = va_arg(arguments, int);
            memcpy(extend(&draft, length), va_arg(arguments, const char *), length);
        } else if (strchr("diouxXc", last)) {
            // In 32-bit WebAssembly all but `ll` and `j` are as long as an int.
            if (strstr(directive, "ll") || strchr(directive, 'j')) PRINT(va_arg(arguments, long long));
            else PRINT(va_arg(arguments, int));
        } else if (strchr("sp", last)) {
            PRINT(va_arg(arguments, void *));
        } else if (last == '%') {
            *extend(&draft, 1) = '%';
        } else {
            PRINT(va_arg(arguments, double));
        }
    }
    return (lantern_text){draft.bytes ? draft.bytes : "", draft.length};
}

lantern_text lantern_format(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    lantern_text text = lantern_format_list(format, arguments);
    va_end(arguments);
    return text;
}

void lantern_log(enum lantern_level level, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    lantern_text text = lantern_format_list(format, arguments);
    va_end(arguments);
    abi_log(level, text.bytes, text.length);
}
