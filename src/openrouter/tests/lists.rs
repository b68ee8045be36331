//! The lists over real HTTP: a server that answers each path as a test tells it to.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Response};
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::config;
use crate::domain::listing::{Listed, PriceLine};
use crate::openrouter::Lists;
use crate::ports::{ListError, Lister};

mod bounds;
mod conditional;
mod odd;
mod recorded;
mod trouble;

/// Two models of which one draws.
const MODELS: &str = r#"{"data":[
    {"id":"a/text","name":"Text","context_length":8192,
     "architecture":{"input_modalities":["text"],"output_modalities":["text"]},
     "pricing":{"prompt":"0.00003","completion":"0.00006"}},
    {"id":"b/draws","name":"Draws","context_length":4096,
     "architecture":{"input_modalities":["image","text"],"output_modalities":["image"]},
     "pricing":{"prompt":"0","completion":"0","image_output":"0.00000958083832335329"}}]}"#;

const IMAGE_MODELS: &str = r#"{"data":[{"id":"b/draws","name":"Draws",
    "architecture":{"input_modalities":["image","text"],"output_modalities":["image"]},
    "supported_parameters":{"n":{"type":"range","min":1,"max":4},"seed":{"type":"boolean"}}}]}"#;

const ENDPOINTS: &str = r#"{"id":"b/draws","endpoints":[{"provider_slug":"acme",
    "supported_parameters":{"n":{"type":"range","min":1,"max":10}},
    "pricing":[{"billable":"output_image","unit":"image","cost_usd":0.04}]}]}"#;

/// Where the endpoints of the model that draws are.
const DRAWS: &str = "images/models/b/draws/endpoints";

/// A request as it came.
#[derive(Clone, Debug)]
struct Asked {
    /// Below the address of the API.
    path: String,
    query: String,
    headers: HeaderMap,
}

struct Upstream {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    _stop: DropGuard,
}

impl Upstream {
    async fn start(
        answer: impl Fn(Asked) -> BoxFuture<'static, Response<Body>> + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a free port");
        let url = format!("http://{}/api/v1", listener.local_addr().expect("bound"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let router = Router::new().fallback(move |request: Request| {
            let asked = Asked::of(&request);
            log.lock().expect("no panic").push(asked.clone());
            answer(asked)
        });
        let stop = CancellationToken::new();
        let server = axum::serve(listener, router);
        let server = server.with_graceful_shutdown(stop.clone().cancelled_owned());
        TaskTracker::new().spawn(server.into_future());
        Self {
            url,
            asked,
            _stop: stop.drop_guard(),
        }
    }

    /// Answers some requests in its own way, and all others as usual.
    async fn but(
        odd: impl Fn(&Asked) -> Option<Response<Body>> + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::start(move |asked| {
            let answer = odd(&asked).unwrap_or_else(|| usual(&asked));
            Box::pin(std::future::ready(answer))
        })
        .await
    }

    /// Answers this path with this text, and all others as usual.
    async fn with(path: &'static str, body: &str) -> Self {
        let body = body.to_owned();
        Self::but(move |asked| (asked.path == path).then(|| json(&body))).await
    }

    fn lists(&self) -> Lists {
        Lists::new(config(&self.url)).expect("an address")
    }

    async fn list(&self) -> Result<Vec<Listed>, ListError> {
        self.lists().list().await
    }

    /// How often a path was asked for.
    fn count(&self, path: &str) -> usize {
        self.of(path).len()
    }

    fn of(&self, path: &str) -> Vec<Asked> {
        let asked = self.asked.lock().expect("no panic");
        let same = asked.iter().filter(|asked| asked.path == path);
        same.cloned().collect()
    }
}

impl Asked {
    fn of(request: &Request) -> Self {
        let path = request.uri().path();
        Self {
            path: path.strip_prefix("/api/v1/").expect("the API").to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            headers: request.headers().clone(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

fn usual(asked: &Asked) -> Response<Body> {
    match asked.path.as_str() {
        "models" => json(MODELS),
        "images/models" => json(IMAGE_MODELS),
        DRAWS => json(ENDPOINTS),
        _ => status(404, r#"{"error":{"code":404,"message":"No such model"}}"#),
    }
}

fn json(body: &str) -> Response<Body> {
    answer(200, &[("content-type", "application/json")], body)
}

fn status(status: u16, body: &str) -> Response<Body> {
    answer(status, &[("content-type", "application/json")], body)
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.to_owned().into()).expect("headers")
}

fn find<'list>(list: &'list [Listed], slug: &str) -> &'list Listed {
    let found = list.iter().find(|listed| listed.slug.as_str() == slug);
    found.unwrap_or_else(|| panic!("{slug} is not among {list:#?}"))
}

fn lines<'list>(list: &'list [Listed], slug: &str) -> &'list [PriceLine] {
    let offer = find(list, slug).offer.as_ref();
    &offer.unwrap_or_else(|| panic!("{slug} has no offer")).lines
}

fn slugs(list: &[Listed]) -> Vec<&str> {
    list.iter().map(|listed| listed.slug.as_str()).collect()
}
