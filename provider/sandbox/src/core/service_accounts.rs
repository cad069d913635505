//! Service accounts: who the programs on a machine are.

use super::error::Refusal;
use super::names::is_rfc1035;
use super::records::ServiceAccount;
use super::transaction::Transaction;

impl Transaction<'_> {
    /// Makes a service account.
    pub fn insert_service_account(&mut self, account: &str, display_name: &str) -> Result<ServiceAccount, Refusal> {
        if !is_rfc1035(account) || !(6..=30).contains(&account.len()) {
            return Err(Refusal::bad_request(format!(
                "Invalid account ID '{account}': 6 to 30 lowercase letters, digits and hyphens, beginning with a letter."
            )));
        }
        let email = format!("{account}@{}.iam.gserviceaccount.com", self.settings.project);
        if self.state.service_accounts.contains_key(&email) {
            return Err(Refusal {
                status: 409,
                reason: "alreadyExists",
                message: format!(
                    "Service account {account} already exists within project {}.",
                    self.settings.project_path()
                ),
            });
        }
        let record = ServiceAccount {
            identity: self.new_identity(account, ""),
            email: email.clone(),
            display_name: display_name.to_owned(),
        };
        self.put(record.clone());
        self.note("serviceAccounts.create", &self.service_account_path(&email), None, None);
        Ok(record)
    }

    /// Deletes a service account.  Machines that have it keep it, and can do nothing with it, as on Google Cloud.
    pub fn delete_service_account(&mut self, email: &str) -> Result<(), Refusal> {
        let path = self.service_account_path(email);
        if !self.state.service_accounts.contains_key(email) {
            return Err(Refusal {
                status: 404,
                reason: "notFound",
                message: format!("Service account {path} does not exist."),
            });
        }
        self.remove::<ServiceAccount>(email);
        self.note("serviceAccounts.delete", &path, None, None);
        Ok(())
    }

    fn service_account_path(&self, email: &str) -> String {
        format!("{}/serviceAccounts/{email}", self.settings.project_path())
    }
}
