//! Objects that are found or made: what every `ensure` has in common.
//!
//! Whose an object is that was found, and whether it is what is wanted, is for the caller to judge: somebody else may have
//! made it in between.

use std::future::Future;

use google_cloud_compute_v1::model::Operation;
use google_cloud_gax::error::Error as GoogleError;
use multizone_cloud::{CloudError, Result};

use crate::{
    ComputeEngine,
    failure::{About as _, Failure},
    networks::unless_exists,
};

/// What looking for an object gives.
type Looked<T> = std::result::Result<Option<T>, Failure>;

impl ComputeEngine {
    /// The object, made where `look` finds none.
    pub(crate) async fn found_or_made<T, F, G>(
        &self,
        object: &str,
        look: impl Fn() -> F,
        what: &str,
        insert: impl Fn(String) -> G,
    ) -> Result<T>
    where
        F: Future<Output = Looked<T>>,
        G: Future<Output = std::result::Result<Operation, GoogleError>>,
    {
        if let Some(found) = look().await.about(object)? {
            return Ok(found);
        }
        self.change(what, insert).await.or_else(unless_exists).making(object)?;
        look().await.about(object)?.ok_or_else(|| CloudError::NotFound {
            object: object.to_owned(),
        })
    }

    /// The object, unless it is on its way out: then its end is waited for.
    pub(crate) async fn staying<T, F>(
        &self,
        object: &str,
        look: impl Fn() -> F,
        leaving: impl Fn(&T) -> bool,
    ) -> Result<Option<T>>
    where
        F: Future<Output = Looked<T>>,
    {
        let found = look().await.about(object)?;
        if !found.as_ref().is_some_and(leaving) {
            return Ok(found);
        }
        let gone = || async { Ok(look().await?.is_none().then_some(())) };
        self.poll("an earlier one of that name to be gone", gone)
            .await
            .about(object)?;
        Ok(None)
    }

    /// The object, once it is made; `found` is how it was seen last, if it was.
    pub(crate) async fn ready<T, F>(
        &self,
        object: &str,
        found: Option<T>,
        look: impl Fn() -> F,
        making: impl Fn(&T) -> bool,
    ) -> Result<T>
    where
        F: Future<Output = Looked<T>>,
    {
        if let Some(found) = found.filter(|found| !making(found)) {
            return Ok(found);
        }
        let made = || async {
            let found = look().await?;
            Ok((!found.as_ref().is_some_and(&making)).then_some(found))
        };
        let found = self.poll("it to be ready", made).await.about(object)?;
        found.ok_or_else(|| CloudError::NotFound {
            object: object.to_owned(),
        })
    }
}
