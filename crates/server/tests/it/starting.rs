//! What is told while a node loads, and that nobody loses a connection when it is loaded.

use std::sync::Arc;

use model::SystemClock;
use ops::{LoadProgress, Node, Settings};
use remit_client::proto::authzed::api::v1 as wire;
use remit_client::{Client, Connection, Transport};
use server::{Addresses, Authentication, Config, HttpAddress, Starting, start};
use store::{SqliteStore, Store};
use tokio::sync::oneshot;
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::http_client::{Http, text};

async fn starting() -> Starting {
    starting_with(HttpAddress::WithGrpc).await
}

async fn starting_with(http: HttpAddress) -> Starting {
    let any = "127.0.0.1:0".parse().unwrap();
    let addresses = Addresses {
        grpc: any,
        http,
        metrics: Some(any),
    };
    start(&addresses, None, Arc::new(LoadProgress::default()))
        .await
        .unwrap()
}

async fn client(starting: &Starting) -> Client {
    let described = Connection {
        endpoint: starting.address().to_string(),
        key: None,
        transport: Transport::Plaintext,
        connect_timeout: std::time::Duration::from_secs(10),
    };
    Client::connect(&described).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_loads_says_so_and_refuses_calls() {
    let starting = starting().await;
    let loading = "loading: the store is being opened";
    let client = client(&starting).await;
    assert!(!client.is_serving().await.unwrap());
    let refused = client
        .schema()
        .read_schema(wire::ReadSchemaRequest::default())
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::Unavailable, loading)
    );

    let mut http = Http::connect(starting.address()).await;
    for path in ["/healthz", "/readyz", "/openapi.json", "/livez"] {
        let told = http.get(path).await;
        let expected = (503, format!("{loading}\n"));
        assert_eq!((told.code, told.text.clone()), expected, "{path}");
        assert_eq!(told.headers["retry-after"], "1");
    }
    let mut metrics = Http::connect(starting.metrics_address().unwrap()).await;
    let asked = [
        ("/livez", 200, "alive\n".to_owned()),
        ("/healthz", 503, format!("{loading}\n")),
        ("/readyz", 503, format!("{loading}\n")),
    ];
    for (path, code, text) in asked {
        let told = metrics.get(path).await;
        assert_eq!((told.code, told.text), (code, text), "{path}");
    }
    assert_eq!(metrics.get("/nothing").await.code, 404);
    let measured = metrics.get("/metrics").await.text;
    for line in [
        "remit_ready 0\n",
        "remit_load_done 0\n",
        "remit_load_relationships 0\n",
        "remit_load_relationships_expected 0\n",
    ] {
        assert!(measured.contains(line), "no {line} in\n{measured}");
    }
    assert!(measured.contains("remit_load_seconds "), "{measured}");
}

/// Whatever a proxy is told by code 200 lets the request pass that it asks about, and so does a failure of gRPC.
#[tokio::test(flavor = "multi_thread")]
async fn no_proxy_takes_what_a_node_tells_that_loads_for_a_pass() {
    let any = "127.0.0.1:0".parse().unwrap();
    for http in [
        HttpAddress::Own(any),
        HttpAddress::WithGrpc,
        HttpAddress::Off,
    ] {
        let starting = starting_with(http).await;
        let address = starting.address().to_string();
        let mut grpc = crate::edge::http2(&address).await;
        for path in ["/edge/envoy/open", "/edge/forward-auth", "/edge/"] {
            for content in ["application/grpc", "text/plain"] {
                let request = hyper::Request::get(format!("http://{address}{path}"));
                let request = request.header("content-type", content);
                let answer = grpc.send_request(request.body(text("")).unwrap()).await;
                let answer = answer.unwrap();
                assert_eq!(answer.status(), 503, "{path} {content} {http:?}");
                assert_eq!(answer.headers()["retry-after"], "1");
            }
        }
        let mut metrics = Http::connect(starting.metrics_address().unwrap()).await;
        assert_eq!(metrics.get("/edge/envoy/open").await.code, 503);
    }
}

/// Over one client that was there before, whose connection is let end, and with calls that come while that happens.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_loaded_goes_on_at_the_same_addresses() {
    let starting = starting().await;
    let (address, metrics) = (starting.address(), starting.metrics_address().unwrap());
    let client = client(&starting).await;
    assert!(!client.is_serving().await.unwrap());
    // It is told that it ends, or its connection would be kept.
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut health = HealthClient::new(endpoint.connect().await.unwrap());
    let watching = health.watch(HealthCheckRequest::default()).await;
    let mut watching = watching.unwrap().into_inner();
    assert_eq!(watching.message().await.unwrap().unwrap().status, 2);

    let store: Arc<dyn Store> = Arc::new(SqliteStore::memory().unwrap());
    let progress = Arc::new(LoadProgress::default());
    let parts = (store, Arc::new(SystemClock) as _, Settings::default());
    let node = Node::start_telling(parts, &progress).await.unwrap();
    assert!(progress.is_over());
    let config = Config::new(Authentication::None);
    let config = Config {
        http_addr: HttpAddress::WithGrpc,
        ..config
    };
    let listening = starting.loaded(Arc::clone(&node), config).await.unwrap();
    assert_eq!(listening.address(), address);
    assert_eq!(listening.metrics_address(), Some(metrics));
    assert!(watching.message().await.unwrap().is_none());
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(listening.serve(async move {
        let _gone = stopped.await;
    }));
    while !client.is_serving().await.is_ok_and(|is_serving| is_serving) {
        tokio::task::yield_now().await;
    }
    let mut http = Http::connect(metrics).await;
    for (path, text) in [
        ("/livez", "alive\n"),
        ("/readyz", "ready\n"),
        ("/healthz", "ready\n"),
    ] {
        let told = http.get(path).await;
        assert_eq!((told.code, told.text.as_str()), (200, text));
    }
    let measured = http.get("/metrics").await.text;
    assert!(measured.contains("remit_load_done 1\n"), "{measured}");
    let mut http = Http::connect(address).await;
    assert_eq!(http.get("/readyz").await.code, 200);
    node.stop();
    drop((stop, http, client));
    serving.await.unwrap().unwrap();
}
