//! Conflicts: who decides, what comes of it, and what is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::fixture::{Answer, Api};
use crate::code::{CallFailure, ComponentDigest, PluginCode, PluginName};
use crate::conflict::{Conflict, ConflictResolver, ConflictResolverCode, ResolverDescription};
use crate::event::NewEvent;
use crate::event_store::Resolution;

type Decide = dyn Fn(&Conflict) -> Result<Resolution, CallFailure> + Send + Sync;

/// A resolver in plain Rust for the category `order`.
struct Resolver {
    description: ResolverDescription,
    digest: ComponentDigest,
    decide: Arc<Decide>,
    instances: AtomicUsize,
}

struct Instance(Arc<Decide>);

impl PluginCode for Resolver {
    fn name(&self) -> &PluginName {
        &self.description.name
    }

    fn digest(&self) -> &ComponentDigest {
        &self.digest
    }

    fn claims(&self) -> Vec<String> {
        Vec::new()
    }
}

impl ConflictResolverCode for Resolver {
    fn description(&self) -> &ResolverDescription {
        &self.description
    }

    fn instantiate(&self) -> Result<Box<dyn ConflictResolver>, CallFailure> {
        self.instances.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Instance(Arc::clone(&self.decide))))
    }
}

impl ConflictResolver for Instance {
    fn resolve(&mut self, conflict: &Conflict) -> Result<Resolution, CallFailure> {
        (self.0)(conflict)
    }
}

fn install(
    api: &Api,
    decide: impl Fn(&Conflict) -> Result<Resolution, CallFailure> + Send + Sync + 'static,
) -> Arc<Resolver> {
    let description = ResolverDescription { name: "orders".parse().expect("a name"), categories: vec!["order".into()] };
    let decide: Arc<Decide> = Arc::new(decide);
    let digest = ComponentDigest("d1".into());
    let resolver = Arc::new(Resolver { description, digest, decide, instances: AtomicUsize::new(0) });
    api.resolvers.install("orders.wasm", Arc::clone(&resolver) as _).expect("installs");
    resolver
}

fn id(n: u128) -> String {
    uuid::Uuid::from_u128(n).to_string()
}

/// Proposes one event of type `Paid` behind a version.
async fn propose(api: &Api, seen: &str, n: u128) -> Answer {
    let body = json!([{ "id": id(n), "event_type": "Paid", "data": { "n": n as u64 }, "metadata": { "user": "ann" } }]);
    api.post("/streams/order-1/events", &[("expected-version", seen)], body.to_string()).await
}

async fn stream(api: &Api) -> Vec<Value> {
    api.get("/streams/order-1/events").await.json["events"].as_array().expect("events").clone()
}

async fn conflicts(api: &Api, query: &str) -> Vec<Value> {
    api.get(&format!("/conflicts{query}")).await.json["conflicts"].as_array().expect("conflicts").clone()
}

/// `NewEvent`s as the resolver answers them: of another type, their ids left to Lantern.
fn renamed(events: &[NewEvent]) -> Vec<NewEvent> {
    let renamed = |event: &NewEvent| NewEvent { id: uuid::Uuid::nil(), event_type: "PaidLate".into(), ..event.clone() };
    events.iter().map(renamed).collect()
}

#[tokio::test]
async fn an_accepted_proposal_is_appended_and_names_its_conflict_beside_the_writers_metadata() {
    let api = Api::new();
    install(&api, |conflict| {
        let unseen: Vec<_> =
            conflict.unseen.iter().map(|event| (event.version.0, event.kind.event_type.clone())).collect();
        assert_eq!((conflict.expected.0, conflict.actual.0), (1, 3));
        assert_eq!(unseen, [(2, "Placed".into()), (3, "Placed".into())]);
        assert_eq!(conflict.proposed[0].event_type, "Paid");
        Ok(Resolution::Accept)
    });
    api.append(&["order-1"; 3]).await;
    let answer = propose(&api, "1", 7).await;
    assert_eq!((answer.status.as_u16(), &answer.json["version"]), (201, &json!(4)), "{}", answer.json);
    let found = conflicts(&api, "").await;
    let [decided] = found.as_slice() else { panic!("one conflict: {found:?}") };
    let event = stream(&api).await.remove(3);
    assert_eq!(event["metadata"], json!({ "user": "ann", "lantern.conflict": decided["id"] }));
    assert_eq!(
        (&decided["resolution"], &decided["expected"], &decided["actual"]),
        (&json!("accept"), &json!(1), &json!(3))
    );
    assert_eq!((&decided["resolver"], &decided["component_digest"]), (&json!("orders"), &json!("d1")));
    let appended = json!({ "first_position": 4, "last_position": 4, "first_version": 4, "last_version": 4 });
    assert_eq!(decided["appended"], appended);
    let shown = api.get(&format!("/conflicts/{}", decided["id"].as_str().expect("an id"))).await.json;
    assert_eq!((&shown, &shown["proposed"][0]["metadata"]), (decided, &json!({ "user": "ann" })));
}

#[tokio::test]
async fn a_rewritten_proposal_gives_its_first_result_when_it_is_sent_again() {
    let api = Api::new();
    install(&api, |conflict| Ok(Resolution::Rewrite(renamed(&conflict.proposed))));
    api.append(&["order-1"; 2]).await;
    let first = propose(&api, "1", 7).await;
    assert_eq!((first.status.as_u16(), &first.json["version"]), (201, &json!(3)), "{}", first.json);
    api.append(&["order-1"]).await;
    for seen in ["1", "any", "4", "no-stream"] {
        let again = propose(&api, seen, 7).await;
        assert_eq!((again.status.as_u16(), &again.json["version"]), (200, &json!(3)), "{}", again.json);
    }
    let events = stream(&api).await;
    assert_eq!((events.len(), &events[2]["event_type"]), (4, &json!("PaidLate")));
    assert_ne!(events[2]["id"], json!(id(7)));
    assert_eq!(conflicts(&api, "").await.len(), 1);
    let body = json!([7, 8].map(|n| json!({ "id": id(n), "event_type": "Paid", "data": {} }))).to_string();
    let other = api.post("/streams/order-1/events", &[], body).await;
    assert_eq!(other.problem(), (409, "id_reused"));
}

#[tokio::test]
async fn a_rejection_is_told_and_stored_and_is_decided_again_when_it_is_sent_again() {
    let api = Api::new();
    install(&api, |conflict| match conflict.actual.0 {
        2 => Ok(Resolution::Reject("sold out".into())),
        _ => Ok(Resolution::Accept),
    });
    api.append(&["order-1"; 2]).await;
    let rejected = propose(&api, "1", 7).await;
    assert_eq!(rejected.problem(), (409, "wrong_expected_version"));
    let detail = rejected.json["detail"].as_str().expect("a detail");
    assert!(detail.contains("at version 2") && detail.ends_with("rejected: sold out"), "{detail}");
    let shown = api.get(&format!("/conflicts/{}", rejected.json["conflict"].as_str().expect("an id"))).await.json;
    assert_eq!((&shown["resolution"], &shown["reason"]), (&json!("reject"), &json!("sold out")));
    assert_eq!((stream(&api).await.len(), shown.get("appended")), (2, None));
    api.append(&["order-1"]).await;
    assert_eq!(propose(&api, "1", 7).await.status, 201);
    let resolutions = |found: Vec<Value>| found.iter().map(|one| one["resolution"].to_string()).collect::<Vec<_>>();
    assert_eq!(resolutions(conflicts(&api, "").await), ["\"accept\"", "\"reject\""], "the newest first");
    assert_eq!(resolutions(conflicts(&api, "?resolution=reject").await), ["\"reject\""]);
    assert_eq!(resolutions(conflicts(&api, "?limit=1").await), ["\"accept\""]);
    let newest = conflicts(&api, "?limit=1").await[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(resolutions(conflicts(&api, &format!("?before={newest}")).await), ["\"reject\""]);
    assert_eq!(conflicts(&api, "?category=order").await.len(), 2);
    assert_eq!(conflicts(&api, "?stream=order-1").await.len(), 2);
    assert_eq!((conflicts(&api, "?category=orde").await.len(), conflicts(&api, "?stream=order-2").await.len()), (0, 0));
    assert_eq!(api.get("/conflicts?resolution=perhaps").await.problem(), (400, "invalid_parameter"));
    assert_eq!(api.get(&format!("/conflicts/{}", id(1))).await.problem(), (404, "conflict_not_found"));
}

#[tokio::test]
async fn what_no_resolver_can_have_seen_is_a_plain_conflict() {
    let api = Api::new();
    api.append(&["order-1"; 2]).await;
    let nobody = propose(&api, "1", 7).await;
    assert_eq!(nobody.problem(), (409, "wrong_expected_version"));
    assert!(
        nobody.json["detail"].as_str().is_some_and(|text| text.contains("no conflict resolver for the category order"))
    );
    assert_eq!(nobody.json.get("conflict"), None);
    install(&api, |_| panic!("it is not asked"));
    for (stream, expected) in [("order-1", "9"), ("order-2", "stream-exists"), ("order-2", "4")] {
        let body = r#"[{"event_type":"Paid","data":{}}]"#;
        let conflict = api.post(&format!("/streams/{stream}/events"), &[("expected-version", expected)], body).await;
        assert_eq!(conflict.problem(), (409, "wrong_expected_version"));
    }
    assert_eq!(conflicts(&api, "").await.len(), 0);
}

#[tokio::test]
async fn a_resolver_that_fails_or_answers_nonsense_rejects_and_says_why() {
    type Lie = fn(&Conflict) -> Result<Resolution, CallFailure>;
    let lies: [(Lie, &str); 7] = [
        (|_| Err(CallFailure::Trapped("unreachable".into())), "gave no decision: the plugin trapped: unreachable"),
        (|_| Err(CallFailure::Interrupted("a call took longer than 1 s".into())), "took longer than 1 s"),
        (|_| Ok(Resolution::Rewrite(Vec::new())), "into none"),
        (
            |conflict| {
                Ok(Resolution::Rewrite(
                    [renamed(&conflict.proposed), renamed(&conflict.proposed)]
                        .concat()
                        .into_iter()
                        .map(with_id)
                        .collect(),
                ))
            },
            "twice",
        ),
        (
            |conflict| {
                Ok(Resolution::Rewrite(vec![NewEvent {
                    id: conflict.unseen.get(0).id,
                    ..conflict.proposed[0].clone()
                }]))
            },
            "that of another event",
        ),
        (
            |conflict| Ok(Resolution::Rewrite(vec![NewEvent { data: b"{".to_vec(), ..conflict.proposed[0].clone() }])),
            "not JSON",
        ),
        (
            |conflict| {
                Ok(Resolution::Rewrite(vec![NewEvent { data: vec![b'1'; 1 << 20], ..conflict.proposed[0].clone() }]))
            },
            "max_stored_bytes",
        ),
    ];
    fn with_id(event: NewEvent) -> NewEvent {
        NewEvent { id: uuid::Uuid::from_u128(99), ..event }
    }
    let api = Api::new();
    api.append(&["order-1"; 2]).await;
    for (place, (lie, expected)) in lies.into_iter().enumerate() {
        install(&api, lie);
        let answer = propose(&api, "1", 7).await;
        assert_eq!(answer.problem(), (409, "wrong_expected_version"), "{place}");
        let detail = answer.json["detail"].as_str().expect("a detail");
        assert!(detail.contains(expected), "{detail}");
        let newest = conflicts(&api, "?limit=1").await.remove(0);
        assert_eq!((&newest["id"], &newest["resolution"]), (&answer.json["conflict"], &json!("reject")));
        assert!(newest["reason"].as_str().is_some_and(|reason| reason.contains(expected)), "{newest}");
    }
    assert_eq!(stream(&api).await.len(), 2);
    install(&api, |_| Ok(Resolution::Accept));
    assert_eq!(propose(&api, "1", 7).await.status, 201);
}

#[tokio::test]
async fn a_stream_that_goes_on_moving_has_the_resolver_asked_again_up_to_a_limit() {
    let api = Api::new();
    let (events, moves) = (api.state.events.clone(), Arc::new(AtomicUsize::new(3)));
    install(&api, {
        let moves = Arc::clone(&moves);
        move |conflict| {
            let left = moves.load(Ordering::Relaxed);
            if left > 0 {
                moves.store(left - 1, Ordering::Relaxed);
                let event = NewEvent { id: uuid::Uuid::now_v7(), ..conflict.proposed[0].clone() };
                let request = crate::event_store::AppendRequest {
                    stream: conflict.stream.clone(),
                    expected: crate::event::ExpectedVersion::Any,
                    events: vec![event],
                };
                events.append(request).expect("appends");
            }
            Ok(Resolution::Accept)
        }
    });
    api.append(&["order-1"; 2]).await;
    assert_eq!(propose(&api, "1", 7).await.status, 201);
    let decided = conflicts(&api, "").await.remove(0);
    assert_eq!((&decided["attempt"], &decided["actual"], stream(&api).await.len()), (&json!(4), &json!(5), 6));
    moves.store(1000, Ordering::Relaxed);
    let restless = propose(&api, "1", 8).await;
    assert_eq!(restless.problem(), (409, "wrong_expected_version"));
    assert!(restless.json["detail"].as_str().is_some_and(|text| text.contains("during each of 8 decisions")));
    assert_eq!(conflicts(&api, "?resolution=reject").await[0]["attempt"], json!(8));
}

#[tokio::test]
async fn more_unseen_events_than_a_resolver_is_shown_are_rejected() {
    let api = Api::new();
    install(&api, |_| Ok(Resolution::Accept));
    api.append(&["order-1"; 22]).await;
    let answer = propose(&api, "1", 7).await;
    assert_eq!(answer.problem(), (409, "wrong_expected_version"));
    assert!(answer.json["detail"].as_str().is_some_and(|text| text.contains("max_unseen_events")), "{}", answer.json);
    assert_eq!(propose(&api, "2", 7).await.status, 201, "20 are the limit of this test");
}

#[tokio::test]
async fn an_instance_decides_again_until_it_fails_or_its_code_is_replaced() {
    let api = Api::new();
    api.append(&["order-1"; 2]).await;
    let first = install(&api, |conflict| match conflict.proposed[0].id.as_u128() {
        9 => Err(CallFailure::Trapped("unreachable".into())),
        _ => Ok(Resolution::Accept),
    });
    for n in [1, 2, 3] {
        assert_eq!(propose(&api, "1", n).await.status, 201);
    }
    assert_eq!(first.instances.load(Ordering::Relaxed), 1);
    assert_eq!(propose(&api, "1", 9).await.status, 409);
    assert_eq!(propose(&api, "1", 4).await.status, 201);
    assert_eq!(first.instances.load(Ordering::Relaxed), 2, "the one that failed is gone");
    let second = install(&api, |_| Ok(Resolution::Reject("no".into())));
    assert_eq!(propose(&api, "1", 5).await.status, 409);
    assert_eq!((first.instances.load(Ordering::Relaxed), second.instances.load(Ordering::Relaxed)), (2, 1));
}
