// How an event is refused.

export let refusal: string | null = null;

/**
 * Refuses the event that is being applied: Lantern parks it, with this reason, and the later events
 * of its stream. Nothing of what was written counts, so it does not matter what is done afterwards;
 * most often `return refuse("...")` is right. The first reason holds.
 */
export function refuse(reason: string): void {
  if (refusal === null) refusal = reason;
}
