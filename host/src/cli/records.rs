//! Reads records from JSON lines and packs them into batches for `events import`. Knows lines and limits; what a
//! record means is for the daemon to say.

use std::io::{self, BufRead, Read};

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use uuid::Uuid;

/// A batch holds at most this many records and bytes; a single larger record goes alone.
const MAX_RECORDS: usize = 1000;
const MAX_BYTES: usize = 4 << 20;
/// The longest line.
const MAX_LINE_BYTES: usize = 16 << 20;
/// What an id adds to a record.
const ID_BYTES: usize = r#""id":"00000000-0000-0000-0000-000000000000","#.len();

/// The namespace of ids that are made for records without one.
const RECORD_IDS: Uuid = Uuid::from_u128(0x7c3d_0c5e_9f5b_4f0e_8a55_1d2b_6e0f_a9c4);

/// Records that are sent together.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// JSON lines, each with an id.
    pub body: Vec<u8>,
    pub records: Vec<Record>,
    /// Bytes of the input up to the end of this batch.
    pub input_bytes: u64,
}

/// Where a record of a batch came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Line of the input; the first is 1.
    pub line: u64,
    /// Where the record ends in the body.
    pub end: usize,
}

/// Why reading stopped before the end.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("line {line}: {reason}")]
    Bad { line: u64, reason: String },
    #[error("cannot read the input after line {line}: {source}")]
    Input { line: u64, source: io::Error },
}

/// The records of an input, batch by batch. Holds one batch and one line in memory.
pub struct Records<R> {
    input: R,
    line: u64,
    input_bytes: u64,
    text: Vec<u8>,
    /// `text` did not fit into the last batch and is the first of the next one.
    held: bool,
    end: End,
}

/// How the input ended.
enum End {
    NotYet,
    /// The records before it have been given out, this error not yet.
    Failed(RecordError),
    Over,
}

impl<R: BufRead> Records<R> {
    pub fn new(input: R) -> Self {
        Self { input, line: 0, input_bytes: 0, text: Vec::new(), held: false, end: End::NotYet }
    }

    fn fill(&mut self, batch: &mut Batch) -> Result<(), RecordError> {
        while batch.records.len() < MAX_RECORDS && self.next_line()? {
            self.held = !batch.records.is_empty() && batch.body.len() + self.text.len() + ID_BYTES > MAX_BYTES;
            if self.held {
                break;
            }
            add(self.line, &self.text, batch).map_err(|reason| RecordError::Bad { line: self.line, reason })?;
            self.input_bytes += self.text.len() as u64;
            batch.input_bytes = self.input_bytes;
        }
        Ok(())
    }

    /// Makes `text` the next line, with its end; false at the end of the input.
    fn next_line(&mut self) -> Result<bool, RecordError> {
        if self.held {
            return Ok(true);
        }
        self.text.clear();
        let read = (&mut self.input).take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut self.text);
        let read = read.map_err(|source| RecordError::Input { line: self.line, source })?;
        self.line += u64::from(read > 0);
        if read > MAX_LINE_BYTES {
            let reason = format!("the record is longer than {} MiB", MAX_LINE_BYTES >> 20);
            return Err(RecordError::Bad { line: self.line, reason });
        }
        Ok(read > 0)
    }
}

impl<R: BufRead> Iterator for Records<R> {
    type Item = Result<Batch, RecordError>;

    /// Records before a bad one are given out before the error, and nothing after it.
    fn next(&mut self) -> Option<Self::Item> {
        match std::mem::replace(&mut self.end, End::Over) {
            End::Over => return None,
            End::Failed(error) => return Some(Err(error)),
            End::NotYet => {}
        }
        let mut batch = Batch::default();
        let filled = self.fill(&mut batch);
        let empty = batch.records.is_empty();
        match filled {
            Ok(()) if empty => return None,
            Ok(()) => self.end = End::NotYet,
            Err(error) if empty => return Some(Err(error)),
            Err(error) => self.end = End::Failed(error),
        }
        Some(Ok(batch))
    }
}

/// Adds a line to the batch; a record without an id gets one from its line number and text, so that it has the same
/// id when the input is read again.
fn add(line: u64, text: &[u8], batch: &mut Batch) -> Result<(), String> {
    let text = std::str::from_utf8(text).map_err(|error| format!("not UTF-8 after byte {}", error.valid_up_to()))?;
    let text = text.trim();
    if text.is_empty() {
        return Ok(());
    }
    if !text.starts_with('{') {
        return Err("a record is a JSON object; this line is something else".to_owned());
    }
    let record: HasId<'_> = serde_json::from_str(text).map_err(|error| without_first_line(&error.to_string()))?;
    match record.id.map(RawValue::get) {
        Some("null") => return Err("the id is null; leave it out or give a UUID".to_owned()),
        Some(_) => batch.body.extend_from_slice(text.as_bytes()),
        None => {
            let id = record_id(line, text);
            let fields = text[1..].trim_start();
            let comma = if fields == "}" { "" } else { "," };
            batch.body.extend_from_slice(format!("{{\"id\":\"{id}\"{comma}").as_bytes());
            batch.body.extend_from_slice(fields.as_bytes());
        }
    }
    batch.body.push(b'\n');
    batch.records.push(Record { line, end: batch.body.len() });
    Ok(())
}

/// The same line at the same place always gets the same id. The line number leads, so that ids come in order: the
/// log finds its place for ordered ids at half the cost.
fn record_id(line: u64, text: &str) -> Uuid {
    let mut bytes = Uuid::new_v5(&RECORD_IDS, format!("{line}:{text}").as_bytes()).into_bytes();
    bytes[..6].copy_from_slice(&line.to_be_bytes()[2..]);
    Uuid::new_v8(bytes)
}

#[derive(Deserialize)]
struct HasId<'a> {
    #[serde(borrow, default, deserialize_with = "even_null")]
    id: Option<&'a RawValue>,
}

fn even_null<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// What is wrong with the JSON of one line: its line number is always 1, beside that of the input it only confuses.
pub fn without_first_line(message: &str) -> String {
    message.replace(" at line 1 column ", " at column ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(input: &str) -> Vec<Result<Batch, String>> {
        Records::new(input.as_bytes()).map(|batch| batch.map_err(|error| error.to_string())).collect()
    }

    fn only(input: &str) -> Batch {
        batches(input).remove(0).expect("a good batch")
    }

    #[test]
    fn a_record_without_an_id_gets_the_same_one_every_time() {
        let once = only("{\"data\":1}\n{\"data\":1}\n");
        assert_eq!(once.body, only("{\"data\":1}\r\n  {\"data\":1}").body);
        let lines: Vec<&str> = std::str::from_utf8(&once.body).expect("text").lines().collect();
        assert_ne!(lines[0], lines[1], "the same text on another line is another event");
        assert!(lines[0].starts_with("{\"id\":\"") && lines[0].ends_with("\",\"data\":1}"), "{}", lines[0]);
        assert!(only("{ }").body.ends_with(b"\"}\n"));
    }

    #[test]
    fn a_record_with_an_id_is_left_as_it_is() {
        assert_eq!(only("{\"data\":{\"id\":2}, \"id\":\"x\"}\n").body, b"{\"data\":{\"id\":2}, \"id\":\"x\"}\n");
    }

    #[test]
    fn lines_are_counted_with_the_empty_ones() {
        let batch = only("\n{}\n\n\n{}");
        assert_eq!(batch.records.iter().map(|record| record.line).collect::<Vec<_>>(), [2, 5]);
        assert_eq!(batch.input_bytes, 8);
    }

    #[test]
    fn records_before_a_bad_line_come_first_and_nothing_after_it() {
        for (bad, reason) in [
            ("{\"data\":}", "line 3: expected value at column 9"),
            ("[1]", "line 3: a record is a JSON object; this line is something else"),
            ("{\"id\":null}", "line 3: the id is null; leave it out or give a UUID"),
        ] {
            let all = batches(&format!("{{}}\n{{}}\n{bad}\n{{}}\n"));
            assert_eq!(all.len(), 2, "{bad}");
            assert_eq!(all[0].as_ref().expect("the good ones").records.len(), 2);
            assert_eq!(all[1], Err(reason.to_owned()));
        }
    }

    #[test]
    fn a_batch_is_limited_in_records_and_in_bytes() {
        let many: Vec<usize> =
            batches(&"{}\n".repeat(2_500)).into_iter().map(|b| b.expect("good").records.len()).collect();
        assert_eq!(many, [1000, 1000, 500]);

        let large = format!("{{\"data\":\"{}\"}}\n", "x".repeat(MAX_BYTES / 3));
        let all: Vec<Batch> = batches(&large.repeat(5)).into_iter().map(|b| b.expect("good")).collect();
        assert_eq!(all.iter().map(|batch| batch.records.len()).collect::<Vec<_>>(), [2, 2, 1]);
        assert!(all.iter().all(|batch| batch.body.len() <= MAX_BYTES));
        assert_eq!(all[2].input_bytes, 5 * large.len() as u64);
    }

    #[test]
    fn a_line_without_an_end_does_not_fill_the_memory() {
        let mut records = Records::new(io::BufReader::new(io::repeat(b'x')));
        let error = records.next().expect("an answer").expect_err("too long");
        assert_eq!(error.to_string(), "line 1: the record is longer than 16 MiB");
        assert!(records.next().is_none());
    }
}
