//! Strangers, by address: who tries keys is put out, and who comes back takes turns at the door.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use image_gateway::keys::Keyring;
use image_gateway::proto;
use image_gateway::proto::get_generation_request::Which;
use image_gateway::proto::image_service_client::ImageServiceClient;
use image_gateway::proto::model_service_client::ModelServiceClient;
use image_gateway::proto::tool_service_client::ToolServiceClient;
use secrecy::ExposeSecret;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::helpers::{House, Setup, bearer};

/// Where the attacker is, and some who are honest.
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Where nobody has done anything.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

/// What takes longer never comes.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is looked whether it has come.
const GLANCE: Duration = Duration::from_millis(20);

impl House {
    fn grpc(&self) -> SocketAddr {
        self.app.as_ref().expect("open").grpc_address()
    }

    /// A connection from there.
    async fn channel_from(&self, from: IpAddr) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.grpc())).expect("an address");
        let connected = endpoint.local_address(Some(from)).connect().await;
        connected.expect("a connection")
    }

    /// So many sockets from there that say nothing; one may have been reset already.
    async fn sockets_from(&self, from: IpAddr, count: usize) -> Vec<io::Result<TcpStream>> {
        let mut sockets = Vec::new();
        for _ in 0..count {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.bind((from, 0).into()).expect("a loopback address");
            sockets.push(socket.connect(self.grpc()).await);
        }
        sockets
    }

    /// How many connections of the gRPC port ended so.
    async fn ended_by(&self, reason: &str) -> u64 {
        let http = self.app.as_ref().expect("open").http_address();
        let page = reqwest::get(format!("http://{http}/metrics")).await;
        let page = page.expect("a page").text().await.expect("text");
        let name = format!("image_gateway_connections_ended_total{{reason=\"{reason}\"}} ");
        let line = page.lines().find_map(|line| line.strip_prefix(&name));
        line.expect("a counter").parse().expect("a number")
    }

    /// Waits until so many connections ended so.
    async fn come_to_end_by(&self, reason: &str, least: u64) {
        let ending = async {
            while self.ended_by(reason).await < least {
                tokio::time::sleep(GLANCE).await;
            }
        };
        let ended = tokio::time::timeout(PATIENCE, ending).await;
        ended.unwrap_or_else(|_| panic!("fewer than {least} by {reason}"));
    }

    /// Comes from there so often, tries keys on each connection until it is put out, and waits until
    /// that is known. All are there before the first tries: newcomers would take turns by then.
    async fn guess(&self, from: IpAddr, connections: usize) {
        let mut channels = Vec::new();
        for _ in 0..connections {
            channels.push(self.channel_from(from).await);
        }
        for channel in &channels {
            let tries = guess_on(channel).await.expect("no hundred bad keys");
            assert!((16..40).contains(&tries), "{tries} tries");
        }
        let put_out = u64::try_from(connections).expect("few");
        self.come_to_end_by("flood", put_out).await;
        assert_eq!(self.ended_by("flood").await, put_out);
    }

    /// Newcomers are taken in the order in which they came: whoever came before this one is known.
    async fn is_served(&self, from: IpAddr) {
        let newcomer = self.channel_from(from).await;
        let asked = ask(&newcomer, &self.runtime).await;
        asked.expect("served");
    }
}

/// Tries a key that nobody has until the connection is put out; told is how often, if it is.
async fn guess_on(channel: &Channel) -> Option<usize> {
    let made_up = Keyring::new([7; 32], None).mint().expect("random").secret;
    for tried in 0..100 {
        let asked = ask(channel, made_up.expose_secret()).await;
        let code = asked.expect_err("a made-up key").code();
        if code != Code::Unauthenticated {
            return Some(tried);
        }
    }
    None
}

async fn ask(channel: &Channel, key: &str) -> Result<(), Status> {
    let mut models = ModelServiceClient::with_interceptor(channel.clone(), bearer(key));
    let list = proto::ListModelsRequest::default();
    models.list_models(list).await.map(drop)
}

/// How many of them are closed by now without a byte.
async fn closed(sockets: &mut [io::Result<TcpStream>]) -> u64 {
    let mut closed = 0;
    for socket in sockets {
        let Ok(socket) = socket else {
            closed += 1;
            continue;
        };
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::ZERO, socket.read(&mut byte)).await;
        closed += u64::from(read.is_ok_and(|read| !read.is_ok_and(|read| read > 0)));
    }
    closed
}

#[tokio::test]
async fn an_address_that_tries_keys_takes_turns_and_neither_others_nor_its_honest_callers_suffer() {
    let house = House::open().await;
    let there_before = house.channel_from(THERE).await;
    // All is owed that can be: half a minute from one turn to the next.
    house.guess(THERE, 10).await;
    let mut sockets = house.sockets_from(THERE, 20).await;
    house.come_to_end_by("turned_away", 11).await;
    // Elsewhere nothing has changed.
    let elsewhere = house.sockets_from(ELSEWHERE, 20).await;
    house.is_served(ELSEWHERE).await;
    let turned_away = house.ended_by("turned_away").await;
    assert!(turned_away < 20, "{turned_away}: the first has its turn");
    let closing = async {
        while closed(&mut sockets).await < turned_away {
            tokio::time::sleep(GLANCE).await;
        }
    };
    let all_closed = tokio::time::timeout(PATIENCE, closing).await;
    all_closed.expect("without a byte");
    drop(elsewhere);
    // Who was there is served, and speaks for those who come.
    ask(&there_before, &house.runtime)
        .await
        .expect("still there");
    let served = tokio::time::timeout(PATIENCE, house.is_served(THERE)).await;
    served.expect("a bounded wait");
    house.close().await;
}

#[tokio::test]
async fn a_proxy_that_is_named_in_the_settings_never_takes_turns() {
    let house = House::with(Setup {
        unrationed_addresses: Some("127.0.0.2"),
        ..Setup::default()
    })
    .await;
    house.guess(THERE, 10).await;
    let _sockets = house.sockets_from(THERE, 20).await;
    house.is_served(THERE).await;
    assert_eq!(house.ended_by("turned_away").await, 0);
    house.close().await;
}

#[tokio::test]
async fn a_good_key_speaks_for_its_address_though_its_call_is_refused_before_anything_is_owed() {
    let house = House::open().await;
    let honest = house.channel_from(THERE).await;
    let mut images = ImageServiceClient::with_interceptor(honest, bearer(&house.runtime));
    let asked = proto::GetGenerationRequest {
        which: Some(Which::RequestId("nobody-has-it".to_owned())),
    };
    let status = images.get_generation(asked).await;
    assert_eq!(status.expect_err("refused").code(), Code::NotFound);
    house.guess(THERE, 10).await;
    let _sockets = house.sockets_from(THERE, 20).await;
    house.is_served(THERE).await;
    let turned_away = house.ended_by("turned_away").await;
    assert_eq!(turned_away, 0, "there are ten turns a second");
    house.close().await;
}

#[tokio::test]
async fn a_good_key_is_one_though_its_call_is_refused_at_the_door() {
    let house = House::with(Setup {
        max_calls_per_second: Some("1"),
        ..Setup::default()
    })
    .await;
    // By a role that may not do it …
    let humble = house.channel_from(THERE).await;
    let mut tools = ToolServiceClient::with_interceptor(humble.clone(), bearer(&house.runtime));
    let asked = proto::DeleteGenerateImageToolRequest::default();
    let refused = tools.delete_generate_image_tool(asked).await;
    let code = refused.expect_err("not for this role").code();
    assert_eq!(code, Code::PermissionDenied);
    assert_eq!(guess_on(&humble).await, None);
    // … and by an organization that has no call left.
    while ask(&humble, &house.runtime).await.is_ok() {}
    let eager = house.channel_from(THERE).await;
    let refused = loop {
        if let Err(refused) = ask(&eager, &house.runtime).await {
            break refused;
        }
    };
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(guess_on(&eager).await, None);
    tokio::time::sleep(Duration::from_secs(2)).await;
    house.close().await;
}
