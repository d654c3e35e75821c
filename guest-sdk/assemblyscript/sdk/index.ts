// Everything that the author of a projection uses.

export { Event } from "./event";
export { log } from "./log";
export { Projection, register } from "./projection";
export { refuse } from "./refusal";
export { Index, MAX_FOUND, Table } from "./table";
export { Box, Values, values } from "./values";
