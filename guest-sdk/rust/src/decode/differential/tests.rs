//! Tens of thousands of documents by chance, and the ones that are known to be hard by name.

use serde::Serialize;

use super::documents::number;
use super::*;

#[test]
fn random_documents_have_the_same_verdict_and_the_same_values() {
    let [whole, damaged] = compare_random_documents(1, 60_000).unwrap_or_else(|difference| panic!("{difference}"));
    // The comparison is worth something only if both verdicts are common.
    for tally in [&whole, &damaged] {
        assert!(tally.accepted > 5_000 && tally.refused > 5_000, "whole {whole:?}, damaged {damaged:?}");
    }
}

#[test]
fn every_beginning_and_every_changed_byte_of_a_document_has_the_same_verdict() {
    let document = br#" {"carrier":"UA","x":[1,-2.5e+3,{"a\u00e9":null}],"dest":"LAX","note":null ,"distance":2475} "#;
    for len in 0..document.len() {
        compare("Borrowed", &document[..len]).unwrap_or_else(|difference| panic!("{difference}"));
        for byte in 0..=u8::MAX {
            let mut changed = document.to_vec();
            changed[len] = byte;
            compare("Borrowed", &changed).unwrap_or_else(|difference| panic!("{difference}"));
        }
    }
}

#[test]
fn a_real_number_is_the_nearest_one_to_its_text() {
    let mut random = Random(2);
    for _ in 0..50_000 {
        let text = number(&mut random);
        let document = format!(r#"{{"one":{text},"other":0,"flag":true}}"#);
        let nearest: f64 = text.parse().expect("a number");
        match decode("Real", document.as_bytes()) {
            Ok(Ours::Real { one, .. }) => assert_eq!(one.to_bits(), nearest.to_bits(), "{text}"),
            _ => assert!(nearest.is_infinite() || text.trim_start_matches('-').starts_with("0"), "{text}"),
        }
    }
}

#[test]
fn the_corpus_of_the_fuzzer_has_the_same_verdict_and_the_same_values() {
    let mut random = Random(3);
    for folder in ["corpus", "findings"] {
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz").join(folder).join("json");
        for file in std::fs::read_dir(folder).into_iter().flatten() {
            let document = std::fs::read(file.expect("listed").path()).expect("read");
            json(&document);
            for _ in 0..400 {
                let mut document = document.clone();
                damage(&mut random, &mut document);
                json(&document);
            }
        }
    }
}

const STRINGS: &[&str] = &[
    r#""""#,
    r#""\ud83d\ude00""#,
    r#""\ud83d""#,
    r#""\ude00""#,
    r#""\ud83d\u0041""#,
    r#""\ud83dx""#,
    r#""\ud83d\ue000""#,
    r#""\ud83d\n""#,
    r#""\u00""#,
    r#""\u00zz""#,
    r#""\u+041""#,
    r#""\x""#,
    r#""\"#,
    r#"""#,
    "\"\t\"",
    "\"\u{7f}\"",
    "\"0123456789abcdé\"",
    "\"0123456789abcde\\",
    "'x'",
    r#""a" "b""#,
    r#""\uD834\uDD1E\uD834""#,
    r#""\/\b\f\u0000""#,
];

const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "00",
    "01",
    "-01",
    "-",
    "+1",
    "1.",
    ".5",
    "1.e1",
    "1e",
    "1e+",
    "1E-0",
    "0e0",
    "0.0",
    "1.0",
    "1e2",
    "0x1",
    "NaN",
    "Infinity",
    "1_000",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1e309",
    "-1e400",
    "1e-400",
    "0e400",
    "0e99999999999",
    "1e99999999999",
    "1e-99999999999",
    "123456789012345678901234567890",
    "0.1e1",
    "127",
    "128",
    "-128",
    "-129",
    "255",
    "256",
];

const OTHERS: &[&str] = &[
    "",
    "null",
    "nul",
    "nulll",
    "true",
    "tru",
    "false",
    "[]",
    "[1,]",
    "[1 2]",
    "{}",
    r#"{"a":1,}"#,
    "{,}",
    "{1:2}",
    "{\"a\"}",
    "[}",
    "{]",
];

#[test]
fn hard_strings_and_numbers_have_the_same_verdict() {
    for value in STRINGS.iter().chain(NUMBERS).chain(OTHERS) {
        for (event_type, fields) in VARIANTS {
            for (field, _) in *fields {
                let members = [(*value).to_owned(), format!(" {value} \n")];
                for member in members {
                    same(event_type, &format!(r#"{{"{field}":{member}}}"#));
                    same(event_type, &format!(r#"{{"{field}":{member},"unknown":{member}}}"#));
                }
            }
        }
        same("Optional", &format!(r#"{{"unknown":{value}}}"#));
        same("Optional", &format!(r#"{{"unknown":[{value},{{"a":{value}}}]}}"#));
        same("Optional", &format!(r#"{{{value}:1}}"#));
        same("Optional", &format!("{{}}{value}"));
        same("Optional", value);
        for document in [(*value).to_owned(), format!("[{value},{value}]"), format!("{{{value}:[{value}]}}")] {
            compare_values(document.as_bytes()).unwrap_or_else(|difference| panic!("{difference}"));
        }
    }
}

/// What serde's types can ask for besides fields of one value.
#[derive(Serialize, Deserialize)]
struct Rich<'a> {
    #[serde(borrow)]
    lines: Vec<Line<'a>>,
    by_number: std::collections::BTreeMap<i16, [f32; 2]>,
    by_name: std::collections::BTreeMap<String, Option<Box<Rich<'a>>>>,
    kind: Kinds,
    initial: char,
    huge: u128,
    nothing: (),
    unit: Unit,
    wrapped: Wrapped,
    pair: (bool, u8),
    raw: &'a serde_json::value::RawValue,
    #[serde(flatten)]
    rest: std::collections::BTreeMap<String, serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    sku: &'a str,
    #[serde(default)]
    count: i64,
}

#[derive(Serialize, Deserialize)]
enum Kinds {
    Plain,
    With(u8),
    Named { a: i64 },
}

#[derive(Serialize, Deserialize)]
struct Unit;

#[derive(Serialize, Deserialize)]
struct Wrapped(i64);

fn written(rich: &Rich<'_>) -> String {
    serde_json::to_string(rich).expect("can be written")
}

#[test]
fn rich_types_are_read_as_serde_json_reads_them() {
    let inner = r#"{"lines":[{"sku":"a","count":2},{"count":-3,"sku":"b"},["c",4]],"by_number":{"-7":[1.5,2],"0":[0,1e3]},
        "by_name":{"x":null},"kind":{"With":7},"initial":"\u00e9","huge":340282366920938463463374607431768211455,
        "nothing":null,"unit":null,"wrapped":-5,"pair":[true,255],"raw": {"k" : [1, 2]} ,"more":[{"deep":[]}],"x":-0.25}"#;
    let whole =
        inner.replace(r#""x":null"#, &format!(r#""x":{inner},"y":null"#)).replace(r#"{"With":7}"#, r#""Plain""#);
    let named = inner.replace(r#"{"With":7}"#, r#"{"Named":{"a":1}}"#);
    for document in [inner, &whole, &named] {
        let theirs: Rich<'_> = serde_json::from_str(document).expect("correct");
        let quick = quick::read(document.as_bytes(), std::marker::PhantomData::<Rich<'_>>);
        assert!(quick.is_ok_and(|quick| written(&quick) == written(&theirs)), "{document}");
    }
    for place in 1..whole.len() {
        for put in ["", "x", "\"", "1", "-", ",", "]", "}", "null"] {
            let damaged = format!("{}{put}{}", &whole[..place], &whole[place + 1..]);
            let theirs = serde_json::from_str::<Rich<'_>>(&damaged).ok().map(|rich| written(&rich));
            let quick = quick::read(damaged.as_bytes(), std::marker::PhantomData::<Rich<'_>>);
            let quick = quick.ok().map(|rich| written(&rich));
            assert!(quick.is_none() || quick == theirs, "{damaged}\nquick: {quick:?}\ntheirs: {theirs:?}");
        }
    }
}

#[test]
fn a_type_that_nests_too_deeply_is_refused_as_by_serde_json() {
    #[derive(Deserialize)]
    struct Nested {
        within: Option<Box<Nested>>,
    }
    let depth = |nested: &Nested| {
        let mut within = nested;
        let mut depth = 1;
        while let Some(next) = &within.within {
            (within, depth) = (next, depth + 1);
        }
        depth
    };
    for levels in [1, 126, 127, 128, 129, 20_000] {
        let document = format!("{}{}{}", "{\"within\":".repeat(levels), "null", "}".repeat(levels));
        let theirs = serde_json::from_str::<Nested>(&document).ok().map(|nested| depth(&nested));
        let quick = quick::read(document.as_bytes(), std::marker::PhantomData::<Nested>).ok();
        assert_eq!(quick.map(|nested| depth(&nested)), theirs, "{levels} levels");
    }
}

#[test]
fn hard_objects_have_the_same_verdict() {
    let documents = [
        r#"{"a":1,"a":2}"#,
        r#"{"a":null,"a":2}"#,
        r#"{"\u0061":1,"a":2}"#,
        r#"{"x":1,"x":2}"#,
        r#"{"\u0061":7}"#,
        r#"{"\ud83d":7}"#,
        r#"{"x":{"\ud83d":7}}"#,
        r#"{"a" : 1 , "b" : true}"#,
        r#"{"a":1 "b":true}"#,
        r#"{"a":1,,"b":true}"#,
        r#"{"a"::1}"#,
        r#"{a:1}"#,
        r#"{"a":1}}"#,
        r#"{"a":1}x"#,
        r#"{"a":1} "#,
        "\u{feff}{}",
        "{} \u{a0}",
        "{}\0",
        r#"{"a":1/**/}"#,
        "{\"é\":1}",
        "{\"a\":1,\"é\":\"é\"}",
    ];
    for document in documents {
        same("Optional", document);
    }
}

#[test]
fn deep_nesting_of_what_is_skipped_needs_no_stack() {
    for depth in [1, 63, 64, 65, 127, 128, 129, 100_000] {
        let nested = format!("{}{}", "[{\"k\":".repeat(depth), "1".to_owned() + &"}]".repeat(depth));
        same("Optional", &format!("{{\"x\":{nested},\"a\":5}}"));
        same("Optional", &format!("{{\"x\":{},\"a\":5}}", nested.replacen("}]", "]}", 1)));
        same("Optional", &format!("{{\"x\":{},\"a\":5}}", &nested[..nested.len() - 1]));
    }
}

#[test]
fn a_failure_has_the_words_of_serde() {
    for (event_type, document) in [
        ("Whole", r#"{"signed":"many"}"#),
        ("Whole", r#"{"signed":1.5}"#),
        ("Whole", r#"{"signed":true}"#),
        ("Whole", r#"{"signed":null}"#),
        ("Whole", r#"{"signed":[1]}"#),
        ("Whole", r#"{"signed":{}}"#),
        ("Whole", r#"{"signed":9223372036854775808}"#),
        ("Whole", r#"{"unsigned":-1}"#),
        ("Whole", r#"{"signed":01}"#),
        ("Whole", r#"{"signed":-x}"#),
        ("Whole", r#"{"signed":}"#),
        ("Whole", r#"{"signed":1,"signed":2}"#),
        ("Whole", "{\"signed\":1,\n \"unsigned\":2x}"),
        ("Whole", r#"{"signed":1"#),
        ("Whole", r#"{"signed" 1}"#),
        ("Whole", r#"{"signed":1,}"#),
        ("Whole", r#"{signed:1}"#),
        ("Whole", "{}"),
        ("Whole", ""),
        ("Whole", "7"),
        ("Small", r#"{"a":128}"#),
        ("Real", r#"{"one":1e999}"#),
        ("Real", r#"{"one":"1"}"#),
        ("Real", r#"{"flag":1}"#),
        ("Real", r#"{"flag":tru}"#),
        ("Borrowed", r#"{"carrier":"a\nb"}"#),
        ("Borrowed", r#"{"carrier":5}"#),
        ("Borrowed", r#"{"carrier":"x"#),
        ("Text", r#"{"title":"\ud83d"}"#),
        ("Text", r#"{"title":"\x"}"#),
        ("Text", "{\"title\":\"\n\"}"),
        ("Text", r#"{"name":5}"#),
        ("Text", r#"{"name":"a"}"#),
        ("Optional", "{} x"),
        ("Unheard", "{}"),
    ] {
        let payload = Payload { event_type, content_type: "application/json", bytes: document.as_bytes() };
        let theirs = Theirs::decode(payload).map(drop).expect_err("does not fit").to_string();
        let ours = decode(event_type, document.as_bytes()).map(drop).expect_err("does not fit");
        // serde's path has a question mark for the place between two fields.
        assert_eq!(ours.replace("Ours", "Theirs"), theirs.replace(" field `?`:", ""), "{document}");
    }
}

fn decode<'a>(event_type: &'a str, document: &'a [u8]) -> Result<Ours<'a>, String> {
    let payload = Payload { event_type, content_type: "application/json", bytes: document };
    Ours::decode(payload).map_err(|error| error.to_string())
}

#[track_caller]
fn same(event_type: &str, document: &str) {
    if let Err(difference) = compare(event_type, document.as_bytes()) {
        panic!("{difference}");
    }
}
