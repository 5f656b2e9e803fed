//! The service of gRPC: `cargo run -p rust-services --bin documents-grpc -- 127.0.0.1:8001 127.0.0.1:50051 key`.

use rust_services::{grpc, start};
use tokio_stream::wrappers::TcpListenerStream;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (listen, client) = start::from_arguments()?;
    let listener = tokio::net::TcpListener::bind(listen).await?;
    eprintln!("serving documents on {}", listener.local_addr()?);
    tonic::transport::Server::builder()
        .add_service(grpc::service(client))
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await?;
    Ok(())
}
