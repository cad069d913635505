//! One HTTP client for everything that is asked of the cloud.
//!
//! Google's generated clients make a client each: each of them would read the system's certificates, which is slow, and keep
//! connections of its own.  So they are given this transport in place of theirs, which also leaves the calls that are
//! never made out of the program.

use std::time::Duration;

use google_cloud_auth::credentials::{CacheableResource, Credentials as GoogleCredentials};
use google_cloud_gax::{Result, error::Error, options::RequestOptions, response::Response};
use http::{Extensions, HeaderMap, header::CONTENT_TYPE};
use reqwest::{Method, Url};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Settings,
    failure::{Failure, Kind, chain},
};

/// Google's own.
const ENDPOINT: &str = "https://compute.googleapis.com";
/// What the calls are known by in the cloud's logs.
const USER_AGENT: &str = concat!("multizone/", env!("CARGO_PKG_VERSION"));

/// Requests to the Compute Engine API.
#[derive(Debug)]
pub(crate) struct Transport {
    http: reqwest::Client,
    endpoint: Url,
    credentials: GoogleCredentials,
    timeout: Duration,
}

/// A request that is being put together.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    transport: &'a Transport,
    method: Method,
    url: Url,
    body: Option<Vec<u8>>,
}

/// The HTTP client for the settings' endpoints.
pub(crate) fn http_client(settings: &Settings) -> std::result::Result<reqwest::Client, Failure> {
    let endpoint = settings.endpoint.as_deref().unwrap_or(ENDPOINT);
    let plain = |url: &str| url.starts_with("http://");
    let builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .timeout(settings.timeouts.request);
    let builder = if plain(endpoint) && plain(settings.secret_manager_url()) {
        // Nobody's certificate is to be checked: the system's need not be read.
        builder.tls_certs_only([])
    } else {
        builder
    };
    builder.build().map_err(|error| Failure::unreadable(chain(&error)))
}

impl Transport {
    pub(crate) fn new(
        http: reqwest::Client,
        settings: &Settings,
        credentials: GoogleCredentials,
    ) -> std::result::Result<Self, Failure> {
        let endpoint = settings.endpoint.as_deref().unwrap_or(ENDPOINT);
        let endpoint = Url::parse(endpoint)
            .ok()
            .filter(|url| !url.cannot_be_a_base())
            .ok_or_else(|| Failure::unreadable(format!("{endpoint:?} is no base URL of an API")))?;
        Ok(Self {
            http,
            endpoint,
            credentials,
            timeout: settings.timeouts.request,
        })
    }

    /// A call of the method with this path; each `{}` of it is one of the values.
    pub(crate) fn call(&self, method: Method, template: &str, values: &[&str]) -> Call<'_> {
        let mut url = self.endpoint.clone();
        let mut values = values.iter().copied();
        if let Ok(mut path) = url.path_segments_mut() {
            let segments = template.split('/');
            let filled = segments.map(|part| {
                if part == "{}" {
                    values.next().unwrap_or_default()
                } else {
                    part
                }
            });
            path.pop_if_empty().extend(["compute", "v1"]).extend(filled);
        }
        Call {
            transport: self,
            method,
            url,
            body: None,
        }
    }
}

impl Call<'_> {
    /// An argument of the query, if it has a value; `field` is its name in Rust.
    pub(crate) fn argument(mut self, field: &str, value: &impl Argument) -> Self {
        if let Some(text) = value.text() {
            self.url.query_pairs_mut().append_pair(&camel_case(field), &text);
        }
        self
    }

    /// The content, if there is any.
    pub(crate) fn body(mut self, body: Option<&impl Serialize>) -> Result<Self> {
        self.body = body.map(serde_json::to_vec).transpose().map_err(Error::ser)?;
        Ok(self)
    }

    /// Makes the call, once.
    pub(crate) async fn send<T: DeserializeOwned>(self, options: &RequestOptions) -> Result<Response<T>> {
        let transport = self.transport;
        let mut request = transport
            .http
            .request(self.method, self.url)
            .timeout(options.attempt_timeout().unwrap_or(transport.timeout));
        request = request.headers(headers(&transport.credentials).await.map_err(Error::authentication)?);
        if let Some(body) = self.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let reply = request.send().await.map_err(unsent)?;
        let (status, headers) = (reply.status(), reply.headers().clone());
        let content = reply.bytes().await.map_err(unsent)?;
        if !status.is_success() {
            return Err(Error::http(status.as_u16(), headers, content));
        }
        serde_json::from_slice(&content)
            .map(Response::from)
            .map_err(Error::deser)
    }
}

/// The headers that say who calls.
async fn headers(
    credentials: &GoogleCredentials,
) -> std::result::Result<HeaderMap, google_cloud_auth::errors::CredentialsError> {
    Ok(match credentials.headers(Extensions::new()).await? {
        CacheableResource::New { data, .. } => data,
        CacheableResource::NotModified => HeaderMap::new(),
    })
}

/// The same, for those who have no use for Google's error.
pub(crate) async fn caller(credentials: &GoogleCredentials) -> std::result::Result<HeaderMap, Failure> {
    let headers = headers(credentials).await;
    headers.map_err(|error| Failure::new(Kind::Credentials, "", chain(&error)))
}

/// Without the query, which nobody looks for in an error.
fn unsent(error: reqwest::Error) -> Error {
    let mut error = error;
    if let Some(url) = error.url_mut() {
        url.set_query(None);
    }
    if error.is_timeout() {
        Error::timeout(error)
    } else if error.is_connect() {
        Error::connect(error)
    } else {
        Error::io(error)
    }
}

/// What can be an argument of a query.
pub(crate) trait Argument {
    /// As it is written there; `None` where it is left out.
    fn text(&self) -> Option<String>;
}

impl Argument for String {
    fn text(&self) -> Option<String> {
        Some(self.clone())
    }
}

impl Argument for bool {
    fn text(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Argument for u32 {
    fn text(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl<T: Argument> Argument for Option<T> {
    fn text(&self) -> Option<String> {
        self.as_ref().and_then(T::text)
    }
}

/// `max_results` as `maxResults`.
fn camel_case(field: &str) -> String {
    let mut words = field.split('_');
    let mut name = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.extend(letters);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Credentials;

    fn transport(endpoint: &str) -> Transport {
        let settings = Settings {
            endpoint: Some(endpoint.to_owned()),
            credentials: Credentials::Anonymous,
            ..Settings::new("p", "us-central1")
        };
        let credentials = crate::clients::credentials(&settings.credentials).unwrap();
        Transport::new(http_client(&settings).unwrap(), &settings, credentials).unwrap()
    }

    #[test]
    fn a_value_is_one_segment_of_the_path() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let transport = transport("http://127.0.0.1:1/base/");
        let call = transport.call(Method::GET, "projects/{}/zones/{}/disks/{}", &["p", "../z", "a b"]);
        let call = call
            .argument("max_results", &Some(500_u32))
            .argument("page_token", &None::<String>)
            .argument("filter", &Some("labels.a=\"b\"".to_owned()));
        assert_eq!(
            call.url.as_str(),
            "http://127.0.0.1:1/base/compute/v1/projects/p/zones/..%2Fz/disks/a%20b?maxResults=500&filter=labels.a%3D%22b%22"
        );
    }
}
