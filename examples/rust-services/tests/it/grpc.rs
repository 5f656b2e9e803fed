//! The service of tonic.

use rust_services::proto::ReadRequest;
use rust_services::proto::documents_client::DocumentsClient;
use tonic::{Code, Request, Status};

use crate::running;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_is_read_by_those_who_may() {
    let service = running::start(env!("CARGO_BIN_EXE_documents-grpc")).await;
    let to = format!("http://{}", service.address);
    let client = DocumentsClient::connect(to).await.unwrap();
    let read = async |id: &str, user: Option<&str>| -> Result<String, Status> {
        let mut request = Request::new(ReadRequest { id: id.to_owned() });
        if let Some(user) = user {
            let metadata = request.metadata_mut();
            metadata.insert("x-user", user.parse().unwrap());
        }
        let answer = client.clone().read(request).await?;
        Ok(answer.into_inner().text)
    };
    assert_eq!(read("plan", Some("ann")).await.unwrap(), "the text of plan");
    for (id, user, code) in [
        // Eve may view the plan, but not call the service; Bob the other way round.
        ("plan", Some("eve"), Code::PermissionDenied),
        ("plan", Some("bob"), Code::PermissionDenied),
        ("absent", Some("ann"), Code::PermissionDenied),
        ("plan", None, Code::Unauthenticated),
        ("plan", Some("*"), Code::InvalidArgument),
        ("a b", Some("ann"), Code::InvalidArgument),
    ] {
        let refused = read(id, user).await.unwrap_err();
        assert_eq!(refused.code(), code, "{id} {user:?}: {refused}");
    }
}
