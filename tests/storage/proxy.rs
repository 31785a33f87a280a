//! A line to the database that tests can look into and cut.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use crate::support::World;
use crate::support::database::TestDatabase;
use crate::support::world::default_settings;

/// Forwards connections to the database's server.
pub struct Proxy {
    /// Where clients connect to.
    pub options: PgConnectOptions,
    server: PathBuf,
    state: Arc<Mutex<State>>,
    folder: tempfile::TempDir,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    /// The statements that were executed, on any connection.
    executed: Vec<String>,
    /// The statements that the server was given to parse.
    parsed: Vec<String>,
    /// Cuts the line of the next statement that contains this, after the server has carried it out.
    cut: Option<String>,
}

/// A service whose line to the database can be looked into and cut.
pub async fn world_behind_proxy() -> (World, Proxy) {
    let database = TestDatabase::create().await;
    let (pool, proxy) = pool_behind_proxy(&database);
    (World::with_pool(database, pool, default_settings()).await, proxy)
}

/// Connections of a service whose line to the database can be looked into and cut.
pub fn pool_behind_proxy(database: &TestDatabase) -> (PgPool, Proxy) {
    let mut proxy = Proxy::new(&database.service_options());
    proxy.listen();
    (PgPoolOptions::new().connect_lazy_with(proxy.options.clone()), proxy)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no panic while it is locked")
}

impl Proxy {
    /// A proxy that nobody can reach before it [listens](Self::listen).
    pub fn new(options: &PgConnectOptions) -> Self {
        let file = format!(".s.PGSQL.{}", options.get_port());
        let server = options.get_socket().expect("the server listens on a socket").join(file);
        let folder = tempfile::tempdir().expect("a folder");
        // What is encrypted cannot be looked into.
        let options = options.clone().socket(folder.path()).ssl_mode(PgSslMode::Disable);
        Self { options, server, state: Arc::default(), folder, accepting: None }
    }

    pub fn listen(&mut self) {
        let path = self.folder.path().join(self.server.file_name().expect("a file"));
        let listener = UnixListener::bind(path).expect("a socket of its own");
        let (server, state) = (self.server.clone(), self.state.clone());
        self.accepting = Some(tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&server).await.expect("the server listens");
                tokio::spawn(forward(client, server, state.clone()));
            }
        }));
    }

    /// Cuts the line of the next statement that contains `text`: the server carries it out, the client never hears of it.
    pub fn cut_after(&self, text: &str) {
        lock(&self.state).cut = Some(text.to_owned());
    }

    /// Whether the line was cut since [`Self::cut_after`].
    pub fn has_cut(&self) -> bool {
        lock(&self.state).cut.is_none()
    }

    /// The statements since the last look.
    pub fn executed(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state).executed)
    }
}

impl Proxy {
    /// The statements that the server was given to parse since the last look.
    pub fn parsed(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state).parsed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

async fn forward(client: UnixStream, server: UnixStream, state: Arc<Mutex<State>>) {
    let (client_reader, client_writer) = client.into_split();
    let (server_reader, server_writer) = server.into_split();
    let cutting = Arc::new(Mutex::new(false));
    // The line ends as soon as either side does.
    tokio::select! {
        _ = requests(client_reader, server_writer, &state, &cutting) => {}
        _ = answers(server_reader, client_writer, &cutting) => {}
    }
}

async fn requests(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    state: &Mutex<State>,
    cutting: &Mutex<bool>,
) -> std::io::Result<()> {
    // The start-up message alone has no type.
    let start = body_of(&mut client).await?;
    server.write_all(&start).await?;
    let (mut prepared, mut bound) = (HashMap::new(), String::new());
    loop {
        let kind = client.read_u8().await?;
        let body = body_of(&mut client).await?;
        let mut texts = body[4..].split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
        let mut text = || texts.next().unwrap_or_default();
        let statement = match kind {
            b'P' => {
                let (name, statement) = (text(), text());
                lock(state).parsed.push(statement.clone());
                prepared.insert(name, statement);
                None
            }
            b'B' => {
                let (_portal, name) = (text(), text());
                bound = prepared.get(&name).cloned().unwrap_or_default();
                None
            }
            b'E' => Some(bound.clone()),
            b'Q' => Some(text()),
            _ => None,
        };
        if let Some(statement) = statement {
            let mut state = lock(state);
            if state.cut.as_ref().is_some_and(|cut| statement.contains(cut)) {
                state.cut = None;
                *cutting.lock().expect("no panic while it is locked") = true;
            }
            state.executed.push(statement);
        }
        server.write_all(&[&[kind], body.as_slice()].concat()).await?;
    }
}

async fn answers(mut server: OwnedReadHalf, mut client: OwnedWriteHalf, cutting: &Mutex<bool>) -> std::io::Result<()> {
    loop {
        let kind = server.read_u8().await?;
        let body = body_of(&mut server).await?;
        let cut = *cutting.lock().expect("no panic while it is locked");
        match (cut, kind) {
            // The server is ready for the next statement: this one is done.
            (true, b'Z') => return Ok(()),
            (true, _) => {}
            (false, _) => client.write_all(&[&[kind], body.as_slice()].concat()).await?,
        }
    }
}

/// A message without its type: the length and what it counts.
async fn body_of(reader: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let length = reader.read_u32().await?;
    let mut body = length.to_be_bytes().to_vec();
    body.resize(usize::try_from(length).expect("it fits"), 0);
    reader.read_exact(&mut body[4..]).await?;
    Ok(body)
}
