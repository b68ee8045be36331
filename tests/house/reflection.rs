//! A client that knows nothing but the address, as grpcurl: it learns the contract by reflection,
//! and runs every call that the README shows.

use std::collections::BTreeMap;

use prost_reflect::prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions,
};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status};
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::helpers::{House, OPERATOR_KEY};

const README: &str = include_str!("../../README.md");

/// One grpcurl call of the README.
#[derive(Debug)]
struct Call {
    /// The variable that keeps `.secret` of the answer.
    keeps: Option<String>,
    /// The variable with the key.
    key: String,
    json: String,
    /// `package.Service/Rpc`
    rpc: String,
}

/// The calls of the README, in order: every grpcurl in a block of shell. One that is written in
/// another way than [`call`] reads fails there, so that none is passed over.
fn calls() -> Vec<Call> {
    let blocks = README.split("```sh\n").skip(1);
    let shell = blocks.filter_map(|rest| rest.split("```").next());
    let joined = shell.collect::<String>().replace("\\\n", " ");
    let lines = joined
        .lines()
        .filter(|line| !line.starts_with('#') && line.contains("grpcurl"));
    lines.map(call).collect()
}

fn call(line: &str) -> Call {
    let between = |start: &str, end: &str| {
        let from = line
            .find(start)
            .unwrap_or_else(|| panic!("no {start} in {line}"))
            + start.len();
        let length = line[from..]
            .find(end)
            .unwrap_or_else(|| panic!("no {end} in {line}"));
        line[from..from + length].to_owned()
    };
    assert!(line.contains("grpcurl -plaintext "), "{line}");
    let keeps = line.split_once("=$(grpcurl").map(|(name, rest)| {
        assert!(rest.ends_with("| jq -r .secret)"), "{line}");
        name.trim().to_owned()
    });
    Call {
        keeps,
        key: between("Bearer $", "\""),
        json: between("-d '", "'"),
        rpc: line
            .split_once("$ADDRESS ")
            .and_then(|(_, rest)| rest.split_whitespace().next())
            .expect("a call")
            .to_owned(),
    }
}

/// The versions of reflection. Their messages are the same on the wire.
const VERSIONS: [&str; 2] = ["v1", "v1alpha"];

/// Asks one question by reflection of one version.
async fn ask(house: &House, version: &str, question: MessageRequest) -> MessageResponse {
    let question = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    };
    let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
    let mut grpc = tonic::client::Grpc::new(house.channel.clone());
    grpc.ready().await.expect("a connection");
    let codec =
        tonic_prost::ProstCodec::<ServerReflectionRequest, ServerReflectionResponse>::default();
    let asked = Request::new(tokio_stream::iter([question]));
    let answers = grpc
        .streaming(asked, path.parse().expect("a path"), codec)
        .await
        .expect("reflection");
    let answer = answers.into_inner().message().await.expect("an answer");
    let answer = answer.expect("one answer").message_response;
    answer.expect("something in it")
}

/// Everything reachable from a service, fetched by reflection only.
async fn descriptors(house: &House, version: &str, service: &str) -> DescriptorPool {
    let mut pool = DescriptorPool::new();
    let mut wanted = vec![MessageRequest::FileContainingSymbol(service.to_owned())];
    let mut files = BTreeMap::new();
    while let Some(question) = wanted.pop() {
        let answer = ask(house, version, question).await;
        let MessageResponse::FileDescriptorResponse(found) = answer else {
            panic!("{service}: {answer:?}");
        };
        for bytes in found.file_descriptor_proto {
            let file = prost_reflect::prost_types::FileDescriptorProto::decode(&bytes[..])
                .expect("a file");
            let missing = file
                .dependency
                .iter()
                .filter(|name| !files.contains_key(*name));
            wanted.extend(missing.cloned().map(MessageRequest::FileByFilename));
            files.insert(file.name().to_owned(), file);
        }
    }
    pool.add_file_descriptor_protos(files.into_values())
        .expect("a whole set");
    pool
}

/// Messages by their descriptors.
#[derive(Clone)]
pub(crate) struct Dynamic(pub(crate) MessageDescriptor);

impl Codec for Dynamic {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        self.clone()
    }

    fn decoder(&mut self) -> Self {
        self.clone()
    }
}

impl Encoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: DynamicMessage, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let decoded = DynamicMessage::decode(self.0.clone(), buffer);
        decoded
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

/// Makes a call from JSON; the answers as JSON.
pub(crate) async fn invoke(
    house: &House,
    method: &MethodDescriptor,
    json: &str,
    key: &str,
) -> Result<Vec<serde_json::Value>, Status> {
    let mut read = serde_json::Deserializer::from_str(json);
    let message = DynamicMessage::deserialize(method.input(), &mut read).expect(json);
    read.end().expect("nothing after the message");
    let mut request = Request::new(tokio_stream::iter([message]));
    if !key.is_empty() {
        request.metadata_mut().insert(
            "authorization",
            format!("Bearer {key}").parse().expect("a key"),
        );
    }
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let mut grpc = tonic::client::Grpc::new(house.channel.clone());
    grpc.ready().await.expect("a connection");
    let path = path.parse().expect("a path");
    let mut answers = grpc
        .streaming(request, path, Dynamic(method.output()))
        .await?
        .into_inner();
    let mut all = Vec::new();
    while let Some(answer) = answers.message().await? {
        let mut text = serde_json::Serializer::new(Vec::new());
        answer
            .serialize_with_options(&mut text, &SerializeOptions::new())
            .expect("JSON");
        all.push(serde_json::from_slice(&text.into_inner()).expect("JSON"));
    }
    Ok(all)
}

fn method(pool: &DescriptorPool, service: &str, rpc: &str) -> MethodDescriptor {
    let service = pool.get_service_by_name(service).expect(service);
    service
        .methods()
        .find(|method| method.name() == rpc)
        .expect(rpc)
}

#[tokio::test]
async fn every_call_that_the_readme_shows_works_by_reflection_alone() {
    let house = House::open().await;
    let mut keys = BTreeMap::from([("OPERATOR_KEY".to_owned(), OPERATOR_KEY.to_owned())]);
    let mut shown = Vec::new();
    let (mut generation, mut spare) = (String::new(), String::new());
    for Call {
        keeps,
        key,
        json,
        rpc,
    } in calls()
    {
        let json = json.replace("GENERATION-ID", &generation);
        let json = json.replace("API-KEY-ID", &spare);
        let (service, name) = rpc.trim().split_once('/').expect("service/rpc");
        let pool = descriptors(&house, "v1", service).await;
        let method = method(&pool, service, name);
        let answers = invoke(&house, &method, &json, &keys[&key])
            .await
            .unwrap_or_else(|status| panic!("{rpc} {json}: {status:?}"));
        let last = answers.last().expect("an answer");
        if let Some(name) = keeps {
            let secret = last["secret"].as_str().expect("a secret");
            keys.insert(name, secret.to_owned());
            spare = last["apiKey"]["id"].as_str().expect("an id").to_owned();
        }
        if name == "GenerateImage" {
            assert_eq!(last["completed"]["charge"]["credits"], "29.00", "{last}");
            generation = last["completed"]["id"].as_str().expect("an id").to_owned();
        }
        shown.push(rpc.trim().to_owned());
    }
    let missing: Vec<String> = image_gateway_calls()
        .into_iter()
        .filter(|rpc| !shown.contains(rpc))
        .collect();
    assert!(missing.is_empty(), "README.md shows no call of {missing:?}");
    house.close().await;
}

/// Every call of the contract.
pub(crate) fn contract() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(image_gateway::proto::DESCRIPTORS).expect("the contract");
    let services = pool
        .services()
        .filter(|service| service.parent_file().package_name() == "squados.images.v1");
    services
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .collect()
}

/// Their names.
fn image_gateway_calls() -> Vec<String> {
    let name = |m: &MethodDescriptor| format!("{}/{}", m.parent_service().full_name(), m.name());
    contract().iter().map(name).collect()
}

#[tokio::test]
async fn both_versions_of_reflection_list_and_describe_every_service() {
    let house = House::open().await;
    let mut expected: Vec<String> = image_gateway_calls()
        .iter()
        .map(|rpc| rpc.split('/').next().expect("a service").to_owned())
        .collect();
    expected.dedup();
    expected.push("grpc.health.v1.Health".to_owned());
    for version in VERSIONS {
        let answer = ask(&house, version, MessageRequest::ListServices(String::new())).await;
        let MessageResponse::ListServicesResponse(listed) = answer else {
            panic!("{version}: {answer:?}");
        };
        let listed: Vec<_> = listed.service.iter().map(|it| it.name.as_str()).collect();
        for service in &expected {
            assert!(listed.contains(&service.as_str()), "{version}: {listed:?}");
            let pool = descriptors(&house, version, service).await;
            assert!(pool.get_service_by_name(service).is_some(), "{version}");
        }
    }
    house.close().await;
}

#[tokio::test]
async fn health_is_served_without_a_key() {
    let house = House::open().await;
    let pool = descriptors(&house, "v1", "grpc.health.v1.Health").await;
    let check = method(&pool, "grpc.health.v1.Health", "Check");
    let ours = image_gateway_calls();
    let services = ours.iter().filter_map(|rpc| rpc.split('/').next());
    for service in services.chain([""]) {
        let json = format!("{{\"service\": \"{service}\"}}");
        let answers = invoke(&house, &check, &json, "").await.expect("health");
        assert_eq!(answers[0]["status"], "SERVING");
    }
    house.close().await;
}

#[tokio::test]
async fn what_is_no_message_and_what_is_no_call_are_refused() {
    let house = House::open().await;
    let pool = descriptors(&house, "v1", "squados.images.v1.ImageService").await;
    let generate = method(&pool, "squados.images.v1.ImageService", "GenerateImage");
    // A tool where a request belongs: field 1 is a text in both, field 2 is not.
    let tools = descriptors(&house, "v1", "squados.images.v1.ToolService").await;
    let update = method(
        &tools,
        "squados.images.v1.ToolService",
        "UpdateGenerateImageTool",
    );
    let mut message = DynamicMessage::new(update.input());
    message.set_field_by_name("validate_only", prost_reflect::Value::Bool(true));
    let mut request = Request::new(tokio_stream::iter([message]));
    let bearer = format!("Bearer {}", house.runtime).parse().expect("a key");
    request.metadata_mut().insert("authorization", bearer);
    let mut grpc = tonic::client::Grpc::new(house.channel.clone());
    grpc.ready().await.expect("a connection");
    let path = "/squados.images.v1.ImageService/GenerateImage"
        .parse()
        .expect("a path");
    let status = grpc
        .streaming(request, path, Dynamic(generate.output()))
        .await
        .expect_err("no such message");
    assert_eq!(
        crate::helpers::reason(&status),
        "INVALID_REQUEST",
        "{status:?}"
    );

    let mut grpc = tonic::client::Grpc::new(house.channel.clone());
    grpc.ready().await.expect("a connection");
    let nothing = Request::new(tokio_stream::iter([DynamicMessage::new(generate.input())]));
    let path = "/squados.images.v1.ImageService/PaintImage"
        .parse()
        .expect("a path");
    let status = grpc
        .streaming(nothing, path, Dynamic(generate.output()))
        .await
        .expect_err("no such call");
    assert_eq!(status.code(), tonic::Code::Unimplemented);
    house.assert_untouched().await;
    house.close().await;
}
