//! The data of an event as a Zig value, read by `std.json` and stricter: no strings for numbers, and errors that name
//! the event type and the field.
const std = @import("std");
const lantern = @import("lantern.zig");

pub fn decode(comptime Data: type, event: lantern.Event) error{Refused}!Data {
    switch (@typeInfo(Data)) {
        .@"union" => |info| inline for (info.field_names, info.field_types) |name, Payload| {
            if (std.mem.eql(u8, event.type, name))
                return @unionInit(Data, name, if (Payload == void) {} else try decode(Payload, event));
        } else return lantern.fail("unknown event type {s}", .{event.type}),
        .@"struct" => {},
        else => @compileError("event data is a struct or a tagged union, not " ++ @typeName(Data)),
    }
    if (!isJson(event.content_type))
        return lantern.fail("{s}: the data is {s}, not JSON", .{ event.type, event.content_type });
    var decoder: Decoder = .{ .event_type = event.type, .scanner = .initCompleteInput(lantern.allocator, event.data) };
    return decoder.document(Data) catch |e| switch (e) {
        error.Refused => error.Refused,
        else => lantern.fail("{s}: the data is no JSON: {s} at byte {d}", .{
            event.type, @errorName(e), decoder.scanner.cursor,
        }),
    };
}

/// `application/json` or anything that ends in `+json`, whatever the case and the parameters.
fn isJson(content_type: []const u8) bool {
    const media_type = content_type[0 .. std.mem.indexOfAny(u8, content_type, "; ") orelse content_type.len];
    return std.ascii.eqlIgnoreCase(media_type, "application/json") or std.ascii.endsWithIgnoreCase(media_type, "+json");
}

const Decoder = struct {
    event_type: []const u8,
    scanner: std.json.Scanner,

    const Error = error{Refused} || std.json.ParseError(std.json.Scanner);

    fn document(decoder: *Decoder, comptime Data: type) Error!Data {
        if (try decoder.scanner.peekNextTokenType() != .object_begin)
            return lantern.fail("{s}: the data is no JSON object", .{decoder.event_type});
        const data = try decoder.object(Data);
        if (try decoder.scanner.next() != .end_of_document) return error.SyntaxError;
        return data;
    }

    fn object(decoder: *Decoder, comptime Object: type) Error!Object {
        const info = @typeInfo(Object).@"struct";
        var decoded: Object = undefined;
        var seen: [info.field_names.len]bool = @splat(false);
        _ = try decoder.scanner.next();
        while (true) {
            const name = switch (try decoder.scanner.nextAlloc(lantern.allocator, .alloc_if_needed)) {
                .object_end => break,
                inline .string, .allocated_string => |name| name,
                else => return error.SyntaxError,
            };
            inline for (info.field_names, info.field_types, &seen) |field, Field, *is_seen| {
                if (std.mem.eql(u8, name, field)) {
                    if (is_seen.*) return lantern.fail("{s}: duplicate field `{s}`", .{ decoder.event_type, field });
                    is_seen.* = true;
                    @field(decoded, field) = try decoder.value(Field, field);
                    break;
                }
            } else try decoder.scanner.skipValue();
        }
        inline for (info.field_names, info.field_types, info.field_attrs, seen) |field, Field, attributes, is_seen| {
            if (!is_seen) {
                if (attributes.defaultValue(Field)) |default| {
                    @field(decoded, field) = default;
                } else if (@typeInfo(Field) == .optional) {
                    @field(decoded, field) = null;
                } else return lantern.fail("{s}: missing field `{s}`", .{ decoder.event_type, field });
            }
        }
        return decoded;
    }

    fn value(decoder: *Decoder, comptime Field: type, comptime name: []const u8) Error!Field {
        const token = try decoder.scanner.peekNextTokenType();
        switch (@typeInfo(Field)) {
            .optional => |optional| {
                if (token != .null) return try decoder.value(optional.child, name);
                return decoder.scalar(Field);
            },
            .int => if (token == .number) return decoder.scalar(Field) catch
                decoder.unfit(name, comptime described(Field)),
            .float => if (token == .number) {
                const number = try decoder.scalar(Field);
                return if (std.math.isFinite(number)) number else decoder.unfit(name, "a finite number");
            },
            .bool => if (token == .true or token == .false) return decoder.scalar(bool),
            .@"struct" => if (token == .object_begin) return decoder.object(Field),
            .pointer => |pointer| if (pointer.child == u8) {
                if (token == .string) return decoder.scalar(Field);
            } else if (token == .array_begin) {
                var items: std.ArrayList(pointer.child) = .empty;
                _ = try decoder.scanner.next();
                while (try decoder.scanner.peekNextTokenType() != .array_end)
                    try items.append(lantern.allocator, try decoder.value(pointer.child, name));
                _ = try decoder.scanner.next();
                return items.items;
            },
            .@"union" => if (Field == std.json.Value) return decoder.scalar(Field),
            else => @compileError(name ++ ": no JSON becomes " ++ @typeName(Field)),
        }
        return lantern.fail("{s}: field `{s}`: {s}, expected {s}", .{
            decoder.event_type, name, @tagName(token), comptime described(Field),
        });
    }

    fn scalar(decoder: *Decoder, comptime Field: type) Error!Field {
        const options: std.json.ParseOptions = .{
            .max_value_len = decoder.scanner.input.len,
            .allocate = .alloc_if_needed,
        };
        return std.json.innerParse(Field, lantern.allocator, &decoder.scanner, options);
    }

    fn unfit(decoder: *Decoder, comptime name: []const u8, comptime expected: []const u8) error{Refused} {
        return lantern.fail("{s}: field `{s}`: not {s}", .{ decoder.event_type, name, expected });
    }
};

fn described(comptime Field: type) []const u8 {
    return switch (@typeInfo(Field)) {
        .int => std.fmt.comptimePrint("an integer from {d} to {d}", .{ std.math.minInt(Field), std.math.maxInt(Field) }),
        .float => "a number",
        .bool => "a boolean",
        .@"struct" => "an object",
        .pointer => |pointer| if (pointer.child == u8) "a string" else "a list",
        else => @typeName(Field),
    };
}
