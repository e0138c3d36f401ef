//! TLS in front of a server that speaks plain HTTP, as a proxy of the operator's does it. It changes nothing of what passes.

use crate::certificate::{CERTIFICATE, tls};
use std::net::SocketAddr;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A front. Ends with this value.
#[derive(Debug)]
pub struct Front {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Front {
    /// Stands in front of a server.
    ///
    /// # Panics
    /// Where there is no socket for it.
    pub async fn of(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = tls();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut outside) = acceptor.accept(stream).await else { return };
                    let Ok(mut inside) = TcpStream::connect(server).await else { return };
                    // Either end may hang up.
                    let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                });
            }
        });
        Self { address, task }
    }

    /// The certificate to trust.
    #[must_use]
    pub fn certificate(&self) -> &'static str {
        CERTIFICATE
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}
