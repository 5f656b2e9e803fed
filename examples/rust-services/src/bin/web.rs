//! The service of HTTP: `cargo run -p rust-services --bin documents-web -- 127.0.0.1:8000 127.0.0.1:50051 key`.

use rust_services::{start, web};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (listen, client) = start::from_arguments()?;
    let listener = tokio::net::TcpListener::bind(listen).await?;
    eprintln!("serving documents on http://{}", listener.local_addr()?);
    axum::serve(listener, web::service(client)).await?;
    Ok(())
}
