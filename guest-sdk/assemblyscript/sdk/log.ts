// Lines in Lantern's log, and the last words of a plugin that fails.

import { logLine } from "./host";

/** Lines in Lantern's log, marked with the plugin's name. */
export namespace log {
  export function debug(message: string): void {
    logLine(0, message);
  }
  export function info(message: string): void {
    logLine(1, message);
  }
  export function warn(message: string): void {
    logLine(2, message);
  }
  export function error(message: string): void {
    logLine(3, message);
  }
}

// What the compiler calls for `throw`, `assert` and failed checks. Lantern shows the last line that was
// logged in the dead letter.
// @ts-ignore: decorator
@global
export function lanternAbort(message: string | null, file: string | null, line: u32, column: u32): void {
  log.error(`${message === null ? "abort" : message} (${file === null ? "" : file}:${line}:${column})`);
  unreachable();
}
