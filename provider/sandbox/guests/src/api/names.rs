//! Where a machine finds a host.

use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::disk::Disk;
use crate::system::HOSTS;

/// The address of `host`: itself where it is one, else what the machine's /etc/hosts says, else what the resolver of the
/// computer does that the region is on.
pub(super) async fn look_up(disk: &Disk, host: &str) -> io::Result<IpAddr> {
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    let hosts = disk.text(HOSTS)?.unwrap_or_default();
    if let Some(address) = listed(&hosts, host) {
        return Ok(address);
    }
    let unknown = |_| {
        let message = format!("dial tcp: lookup {host}: no such host");
        io::Error::new(io::ErrorKind::NotFound, message)
    };
    let mut found = tokio::net::lookup_host((host, 0)).await.map_err(unknown)?;
    let address = found.find(SocketAddr::is_ipv4).map(|address| address.ip());
    address.ok_or_else(|| unknown(io::ErrorKind::NotFound.into()))
}

/// The address of a host in the format of hosts(5).
fn listed(hosts: &str, host: &str) -> Option<IpAddr> {
    hosts.lines().find_map(|line| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_is_an_address_or_listed_or_known_to_the_computer() {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::open(directory.path()).unwrap();
        disk.write(HOSTS, "# 127.0.0.9 api\n127.0.0.2 x API.example # api\n", 0o644)
            .unwrap();
        for (host, address) in [
            ("127.3.0.1", Some("127.3.0.1")),
            ("api.example", Some("127.0.0.2")),
            // Every C library reads an address that is written in this way itself.
            ("0x7f.0x5.0x0.0x1", Some("127.5.0.1")),
        ] {
            let found = look_up(&disk, host).await.ok();
            assert_eq!(found, address.map(|address| address.parse().unwrap()), "{host}");
        }
        assert_eq!(listed("127.0.0.2 x # api", "api"), None);
    }
}
