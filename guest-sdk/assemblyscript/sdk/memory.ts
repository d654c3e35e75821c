// Memory that the host sees. The collector knows nothing of it.

/** A block that grows and keeps its place in the program. */
export class Memory {
  address: usize = 0;
  length: usize = 0;
  capacity: usize = 0;
}

/** Room for `length` more bytes at the end of `block`; it moves what was there when it must. */
export function reserve(block: Memory, length: usize): usize {
  const end = block.length + length;
  if (end > block.capacity) {
    block.capacity = max<usize>(2 * block.capacity, max<usize>(end, 1024));
    block.address = block.address ? heap.realloc(block.address, block.capacity) : heap.alloc(block.capacity);
  }
  const at = block.address + block.length;
  block.length = end;
  return at;
}

const CHUNK: usize = 64 << 10;

/** Memory for one call: given out in order, taken back all at once, down to a mark. */
export namespace arena {
  const chunks: usize[] = [];
  let top: usize = 0;
  let end: usize = 0;

  export function allocate(length: usize, align: usize): usize {
    let at = (top + align - 1) & ~(align - 1);
    if (at + length > end) {
      const size = max<usize>(length, CHUNK);
      at = heap.alloc(size); // aligned to 16
      chunks.push(at);
      end = at + size;
    }
    top = at + length;
    return at;
  }

  /** How much is given out. */
  export function mark(): i32 {
    // What is asked for from now on starts a chunk, so that a mark is a number of chunks.
    top = end = 0;
    return chunks.length;
  }

  /** Takes back what was given out since the mark. */
  export function release(mark: i32): void {
    while (chunks.length > mark) heap.free(chunks.pop());
    top = end = 0;
  }
}
