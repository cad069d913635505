//! Google's own command line against the region: an independent client of the same API.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use serde_json::{Value, json};
use std::path::Path;
use support::{REGION, TestRegion, ZONE, machine};
use tokio::process::Command;

struct Gcloud<'r> {
    region: &'r TestRegion,
    configuration: &'r Path,
}

impl Gcloud<'_> {
    async fn output(&self, arguments: &str) -> std::process::Output {
        let endpoint = &self.region.endpoint;
        Command::new("gcloud")
            .args(arguments.split(' '))
            .arg("--format=json")
            .env("CLOUDSDK_CONFIG", self.configuration)
            .env("CLOUDSDK_AUTH_DISABLE_CREDENTIALS", "true")
            .env("CLOUDSDK_CORE_DISABLE_PROMPTS", "1")
            .env("CLOUDSDK_CORE_CHECK_GCE_METADATA", "false")
            .env("CLOUDSDK_CORE_PROJECT", "sandbox")
            .env(
                "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE",
                format!("{endpoint}/compute/v1/"),
            )
            .env("CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER", format!("{endpoint}/"))
            .output()
            .await
            .unwrap()
    }

    async fn run(&self, arguments: &str) -> Value {
        let output = self.output(arguments).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "gcloud {arguments}: {error}");
        let text = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    async fn fails(&self, arguments: &str) -> String {
        let output = self.output(arguments).await;
        assert!(!output.status.success(), "gcloud {arguments}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gcloud_drives_the_region() {
    if Command::new("gcloud").arg("--version").output().await.is_err() {
        eprintln!("SKIPPED: gcloud is not on the PATH; nothing was checked against it");
        return;
    }
    let configuration = tempfile::tempdir().unwrap();
    let region = TestRegion::start().await;
    let gcloud = Gcloud {
        region: &region,
        configuration: configuration.path(),
    };

    let zones = gcloud
        .run(&format!("compute zones list --filter=region:{REGION}"))
        .await;
    assert_eq!(zones.as_array().unwrap().len(), 4);
    gcloud
        .run(&format!(
            "compute disks create d --zone {ZONE} --size 10GB --type pd-balanced --labels team=web"
        ))
        .await;
    gcloud
        .run(&format!("compute disks resize d --zone {ZONE} --size 20GB"))
        .await;
    let disks = gcloud.run("compute disks list --filter=labels.team=web").await;
    assert_eq!(
        (&disks[0]["name"], &disks[0]["sizeGb"]),
        (&Value::from("d"), &Value::from("20"))
    );
    gcloud
        .run(&format!("compute addresses create api --region {REGION}"))
        .await;
    let instance =
        format!("compute instances create m --zone {ZONE} --machine-type n1-standard-2 --address api --tags master");
    gcloud
        .run(&format!(
            "{instance} --image-family ubuntu-2404-lts-amd64 --image-project ubuntu-os-cloud"
        ))
        .await;
    gcloud
        .run(&format!("compute instances attach-disk m --disk d --zone {ZONE}"))
        .await;
    gcloud
        .run(&format!("compute instances add-labels m --zone {ZONE} --labels a=b"))
        .await;
    let described = gcloud.run(&format!("compute instances describe m --zone {ZONE}")).await;
    assert_eq!(
        (&described["status"], &described["labels"]["a"]),
        (&Value::from("RUNNING"), &Value::from("b"))
    );
    let listed = gcloud.run("compute instances list").await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let address = gcloud
        .run(&format!("compute addresses describe api --region {REGION}"))
        .await;
    assert_eq!(address["status"], "IN_USE");
    assert!(
        gcloud
            .fails(&format!("compute disks delete d --zone {ZONE}"))
            .await
            .contains("is already being used by")
    );
    gcloud.run(&format!("compute instances delete m --zone {ZONE}")).await;
    gcloud.run(&format!("compute disks delete d --zone {ZONE}")).await;
    gcloud
        .run(&format!("compute addresses delete api --region {REGION}"))
        .await;
    let operations = gcloud
        .run(&format!("compute operations list --filter=zone:{ZONE}"))
        .await;
    assert!(operations.as_array().unwrap().iter().all(|it| it["status"] == "DONE"));
    let left = region.status().await;
    assert_eq!(
        (&left["machines"], &left["disks"], &left["addresses"]),
        (
            &Value::from(vec![0; 0]),
            &Value::from(vec![0; 0]),
            &Value::from(vec![0; 0])
        )
    );
    region.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gcloud_builds_a_balancer_and_moves_its_address() {
    if Command::new("gcloud").arg("--version").output().await.is_err() {
        eprintln!("SKIPPED: gcloud is not on the PATH; nothing was checked against it");
        return;
    }
    let configuration = tempfile::tempdir().unwrap();
    let region = TestRegion::start().await;
    let gcloud = Gcloud {
        region: &region,
        configuration: configuration.path(),
    };
    let run = async |command: String| gcloud.run(&command).await;
    let in_region = format!("--region {REGION}");
    let mut body = machine("m");
    // The name that gcloud takes for granted.
    body["networkInterfaces"][0]["accessConfigs"][0]["name"] = json!("external-nat");
    region.post(&format!("/zones/{ZONE}/instances"), body).await;
    region
        .post(&format!("/regions/{REGION}/addresses"), json!({ "name": "api" }))
        .await;

    run(format!(
        "compute health-checks create https lb {in_region} --port 6443 --request-path /readyz --check-interval 5s"
    ))
    .await;
    run(format!("compute instance-groups unmanaged create lb --zone {ZONE}")).await;
    run(format!(
        "compute instance-groups unmanaged add-instances lb --zone {ZONE} --instances m"
    ))
    .await;
    let members = gcloud
        .run(&format!(
            "compute instance-groups unmanaged list-instances lb --zone {ZONE}"
        ))
        .await;
    assert_eq!(members[0]["status"], "RUNNING");
    let create =
        format!("compute backend-services create lb {in_region} --load-balancing-scheme external --protocol tcp");
    run(format!(
        "{create} --health-checks lb --health-checks-region {REGION} --connection-draining-timeout 10"
    ))
    .await;
    run(format!(
        "compute backend-services add-backend lb {in_region} --instance-group lb --instance-group-zone {ZONE}"
    ))
    .await;
    let create =
        format!("compute forwarding-rules create lb {in_region} --load-balancing-scheme external --ports 6443");
    run(format!(
        "{create} --address api --backend-service lb --backend-service-region {REGION}"
    ))
    .await;
    let health = gcloud
        .run(&format!("compute backend-services get-health lb {in_region}"))
        .await;
    let state = &health[0]["status"]["healthStatus"][0]["healthState"];
    assert_eq!(state, "UNHEALTHY", "{health}");
    for collection in ["health-checks", "backend-services", "forwarding-rules"] {
        let listed = gcloud.run(&format!("compute {collection} list --filter=name=lb")).await;
        assert_eq!(listed[0]["name"], "lb", "{listed}");
    }
    run(format!(
        "compute health-checks update https lb {in_region} --healthy-threshold 3"
    ))
    .await;
    let check = gcloud
        .run(&format!("compute health-checks describe lb {in_region}"))
        .await;
    assert_eq!(
        (&check["healthyThreshold"], &check["httpsHealthCheck"]["port"]),
        (&json!(3), &json!(6443))
    );
    let refused = gcloud
        .fails(&format!("compute instance-groups unmanaged delete lb --zone {ZONE}"))
        .await;
    assert!(refused.contains("is already being used by"), "{refused}");

    run(format!("compute forwarding-rules delete lb {in_region}")).await;
    run(format!("compute instances delete-access-config m --zone {ZONE}")).await;
    let api = gcloud.run(&format!("compute addresses describe api {in_region}")).await;
    let address = api["address"].as_str().unwrap();
    run(format!(
        "compute instances add-access-config m --zone {ZONE} --address {address}"
    ))
    .await;
    let api = gcloud.run(&format!("compute addresses describe api {in_region}")).await;
    assert!(api["users"][0].as_str().unwrap().ends_with("/instances/m"), "{api}");
    run(format!(
        "compute backend-services remove-backend lb {in_region} --instance-group lb --instance-group-zone {ZONE}"
    ))
    .await;
    run(format!(
        "compute instance-groups unmanaged remove-instances lb --zone {ZONE} --instances m"
    ))
    .await;
    for (collection, place) in [
        ("backend-services", in_region.clone()),
        ("health-checks", in_region.clone()),
        ("instance-groups unmanaged", format!("--zone {ZONE}")),
    ] {
        run(format!("compute {collection} delete lb {place}")).await;
    }
    assert_eq!(region.status().await["balancers"], json!([]));
    region.stop().await;
}
