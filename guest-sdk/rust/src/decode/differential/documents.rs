//! Pseudo-random JSON documents, right and wrong ones, the same for the same seed.

use std::fmt::Write;

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// What a field asks for.
#[derive(Clone, Copy)]
pub enum Kind {
    Whole,
    Small,
    Real,
    Flag,
    Plain,
    Text,
    Maybe(&'static Kind),
}

/// An object that has most of these fields, and others, in any order.
pub fn object(random: &mut Random, fields: &[(&str, Kind)]) -> Vec<u8> {
    let mut members = Vec::new();
    for (name, kind) in fields {
        let times = if random.one_in(40) { random.below(3) } else { 1 };
        for _ in 0..times {
            let value = if random.one_in(40) { any_value(random, 0) } else { fitting(random, *kind) };
            members.push((key(random, name), value));
        }
    }
    for _ in 0..random.below(5) {
        let name = text(random, true);
        let value = any_value(random, 0);
        let place = random.below(members.len() + 1);
        members.insert(place, (name, value));
    }
    for place in 1..members.len() {
        if random.one_in(2) {
            let other = random.below(place);
            members.swap(place, other);
        }
    }
    joined(random, '{', '}', members.into_iter().map(|(key, value)| [key, value]).collect()).into_bytes()
}

fn joined<const PARTS: usize>(random: &mut Random, open: char, close: char, members: Vec<[String; PARTS]>) -> String {
    let spaced = random.one_in(3);
    let mut space = |out: &mut String| {
        while spaced && random.one_in(3) {
            out.push(random.pick(&[' ', '\n', '\t', '\r']));
        }
    };
    let mut out = String::new();
    space(&mut out);
    out.push(open);
    for (place, member) in members.iter().enumerate() {
        for (part, text) in member.iter().enumerate() {
            match (place, part) {
                (0, 0) => {}
                (_, 0) => out.push(','),
                _ => out.push(':'),
            }
            space(&mut out);
            out.push_str(text);
            space(&mut out);
        }
    }
    space(&mut out);
    out.push(close);
    space(&mut out);
    out
}

/// The name as a JSON string, now and then with escapes.
fn key(random: &mut Random, name: &str) -> String {
    if !random.one_in(12) {
        return format!("\"{name}\"");
    }
    let escaped = |byte: u8| format!("\\u{byte:04x}");
    let letters = name.bytes().map(|byte| if random.one_in(2) { escaped(byte) } else { char::from(byte).to_string() });
    format!("\"{}\"", letters.collect::<String>())
}

fn fitting(random: &mut Random, kind: Kind) -> String {
    match kind {
        Kind::Whole => match random.below(4) {
            0 => random.next().to_string(),
            1 => (random.next() as i64).to_string(),
            2 => random.pick(&EDGES).to_owned(),
            _ => random.below(2000).to_string(),
        },
        Kind::Small => (random.below(140) as i64 - 10).to_string(),
        Kind::Real => number(random),
        Kind::Flag => random.pick(&["true", "false"]).to_owned(),
        Kind::Plain => {
            let plain = !random.one_in(30);
            text(random, plain)
        }
        Kind::Text => text(random, false),
        Kind::Maybe(_) if random.one_in(3) => "null".to_owned(),
        Kind::Maybe(kind) => fitting(random, *kind),
    }
}

const EDGES: [&str; 16] = [
    "0",
    "-0",
    "-1",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "9999999999999999999",
    "10000000000000000000",
    "-18446744073709551616",
    "99999999999999999999999",
    "00",
    "01",
    "-",
];

pub fn number(random: &mut Random) -> String {
    let mut out = String::new();
    if random.one_in(4) {
        out.push('-');
    }
    let digits = random.pick(&[1, 1, 2, 3, 8, 17, 19, 20, 25]);
    let whole = random.below(digits) + 1;
    for place in 0..digits {
        if place == whole {
            out.push('.');
        }
        let digit = if place == 0 && whole > 1 { 1 + random.below(9) } else { random.below(10) };
        let _ = write!(out, "{digit}");
    }
    if random.one_in(3) {
        out.push(random.pick(&['e', 'E']));
        out.push_str(random.pick(&["", "+", "-"]));
        let _ = write!(out, "{}", random.pick(&[0, 1, 5, 15, 16, 22, 23, 120, 270, 340, 1_000, 99_999_999_999_u64]));
    }
    out
}

/// A JSON string, sometimes one that is none.
pub fn text(random: &mut Random, plain: bool) -> String {
    const PIECES: [&str; 33] = [
        "\\\"",
        "\\\\",
        "\\/",
        "\\b",
        "\\f",
        "\\n",
        "\\r",
        "\\t",
        "\\u0000",
        "\\u00e9",
        "\\u20AC",
        "\\ud83d\\ude00",
        "\\uD834\\udd1E",
        "é",
        "€",
        "😀",
        "\u{7f}",
        "\u{80}",
        "\u{ffff}",
        "\\ud83d",
        "\\ude00",
        "\\ud83dx",
        "\\ud83d\\n",
        "\\ud83d\\ue000",
        "\\ud83d\\u0041",
        "\\ud83d\\ud83d\\ude00",
        "\\x",
        "\\u12",
        "\\u12g4",
        "\n",
        "\u{1f}",
        "\0",
        "\\u+123",
    ];
    // The later pieces are wrong, in every string or in one that is kept: they shall not be in most documents.
    const RIGHT: usize = 19;
    let mut out = String::from("\"");
    let len = random.pick(&[0, 1, 2, 3, 5, 8, 14, 15, 16, 17, 30, 40]);
    for _ in 0..len {
        if plain || !random.one_in(6) {
            out.push(char::from(random.pick(b"abcXYZ 019_-:,{}[]'/")));
        } else if random.one_in(60) {
            out.push_str(PIECES[RIGHT + random.below(PIECES.len() - RIGHT)]);
        } else {
            out.push_str(PIECES[random.below(RIGHT)]);
        }
    }
    out.push('"');
    out
}

fn any_value(random: &mut Random, depth: usize) -> String {
    let members = random.below(4);
    match random.below(if depth < 6 { 9 } else { 6 }) {
        0 => "null".to_owned(),
        1 => fitting(random, Kind::Flag),
        2 => fitting(random, Kind::Whole),
        3 => number(random),
        4 | 5 => text(random, false),
        6 => {
            let members = (0..members).map(|_| [text(random, false), any_value(random, depth + 1)]).collect();
            joined(random, '{', '}', members)
        }
        7 => {
            let depth = random.pick(&[1, 2, 63, 64, 65, 130]);
            let open: Vec<bool> = (0..depth).map(|_| random.one_in(2)).collect();
            let starts = open.iter().map(|object| if *object { "{\"k\":" } else { "[" });
            let ends = open.iter().rev().map(|object| if *object { "}" } else { "]" });
            starts.chain(["1"]).chain(ends).collect()
        }
        _ => {
            let members = (0..members).map(|_| [any_value(random, depth + 1)]).collect();
            joined(random, '[', ']', members)
        }
    }
}

/// Damages a document in a few places: bytes changed, added, removed, doubled or cut off.
pub fn damage(random: &mut Random, document: &mut Vec<u8>) {
    const BYTES: &[u8] = b"\"\"\"\\\\{}[]::,,0123456789-+.eEtrufalsn \n\t\r/x\0\x1f\x7f\x80\xc3\xa9\xff";
    for _ in 0..random.pick(&[1, 1, 1, 2, 4]) {
        if document.is_empty() {
            return;
        }
        let place = random.below(document.len());
        match random.below(7) {
            0 => document[place] ^= 1 << random.below(8),
            1 => document[place] = random.pick(BYTES),
            2 | 3 => document.insert(place, random.pick(BYTES)),
            4 => drop(document.remove(place)),
            5 => {
                let end = (place + 1 + random.below(12)).min(document.len());
                let part = document[place..end].to_vec();
                let to = random.below(document.len() + 1);
                document.splice(to..to, part);
            }
            _ if random.one_in(3) => document.truncate(place),
            _ => document.extend_from_slice(random.pick(&[" ", "\n", "}", ",", "x", "{}", "\0"]).as_bytes()),
        }
    }
}
