//! KEDA's external scaler: how many agents the queue wants, as KEDA asks for it. What is wanted is [`Clients::demand`]'s.
//!
//! KEDA sends no header with a token: the trigger names the token among its metadata, and each call is checked here.

use std::collections::HashMap;
use std::time::Duration;

use bt_proto::externalscaler as keda;
use bt_proto::externalscaler::external_scaler_server::ExternalScaler;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{AskDemand, Clients};
use crate::access::rights::Right;
use crate::access::{Access, Unknown};

const METRIC: &str = "btctl-agents";
/// How often it is looked whether agents are wanted, for those who want to hear when that changes.
const EVERY: Duration = Duration::from_secs(5);
/// What a trigger's metadata says to KEDA itself.
const OF_KEDA: [&str; 5] = ["scalerAddress", "enableTLS", "unsafeSsl", "tlsCertFile", "metricType"];
/// The token, as it is or by the name of a variable, which KEDA puts in.
const TOKEN: [&str; 2] = ["tokenFromEnv", "token"];

#[derive(Clone)]
pub(crate) struct Keda {
    pub(crate) clients: Clients,
    pub(crate) access: Access,
    pub(crate) shutdown: CancellationToken,
}

impl Keda {
    /// How many agents are wanted.
    async fn wanted(&self, object: Option<&keda::ScaledObjectRef>) -> Result<u32, Status> {
        let mut said = object.map(|object| object.scaler_metadata.clone()).unwrap_or_default();
        self.let_in(&mut said).await?;
        let reply = self.clients.demand(asked(said)?.request()?).await?;
        Ok(reply.kinds.iter().map(|kind| kind.wanted).sum())
    }

    async fn let_in(&self, said: &mut HashMap<String, String>) -> Result<(), Status> {
        let token = TOKEN.map(|key| said.remove(key)).into_iter().flatten().next();
        if !self.access.asks() {
            return Ok(());
        }
        let token = token.ok_or_else(|| {
            Status::unauthenticated(
                "the trigger's metadata has no token: name the variable that has a viewer's token as tokenFromEnv",
            )
        })?;
        let known = self.access.of_token(token.trim()).await.map_err(|unknown| match unknown {
            Unknown::Refused { why, .. } => Status::unauthenticated(why),
            Unknown::NotNow(why) => Status::unavailable(why),
        })?;
        match known.identity.role {
            role if Right::ReadWithin.is_of(role) => Ok(()),
            role => Err(Status::permission_denied(format!(
                "{} is a token of the role {role}, which may not see what is queued; a viewer's will do",
                known.identity.name
            ))),
        }
    }
}

/// What the trigger's metadata asks for, without the token.
fn asked(mut said: HashMap<String, String>) -> Result<AskDemand, Status> {
    OF_KEDA.iter().for_each(|key| drop(said.remove(*key)));
    let number = |key: &str, text: Option<String>| {
        let parsed = text.map(|text| {
            let wrong = |_| Status::invalid_argument(format!("`{key}`: {text:?} is not a whole number"));
            text.trim().parse().map_err(wrong)
        });
        parsed.transpose()
    };
    let asked = AskDemand {
        cpus: said.remove("cpus"),
        memory: said.remove("memory"),
        gpus: number("gpus", said.remove("gpus"))?,
        jobs: number("jobs", said.remove("jobs"))?,
        labels: said.remove("labels"),
        within: said.remove("within"),
        hold: said.remove("hold"),
    };
    if asked.cpus.is_none() || asked.memory.is_none() {
        return Err(Status::invalid_argument(
            "the trigger's metadata does not say how large an agent is: `cpus` and `memory`, e.g. \"16\" and \"60GiB\"",
        ));
    }
    match said.keys().min() {
        Some(key) => Err(Status::invalid_argument(format!(
            "the trigger's metadata has {key:?}, which is not known here; known are cpus, memory, gpus, jobs, labels, within, \
             hold and tokenFromEnv"
        ))),
        None => Ok(asked),
    }
}

#[tonic::async_trait]
impl ExternalScaler for Keda {
    type StreamIsActiveStream = ReceiverStream<Result<keda::IsActiveResponse, Status>>;

    async fn is_active(
        &self,
        request: Request<keda::ScaledObjectRef>,
    ) -> Result<Response<keda::IsActiveResponse>, Status> {
        let result = self.wanted(Some(request.get_ref())).await? > 0;
        Ok(Response::new(keda::IsActiveResponse { result }))
    }

    async fn stream_is_active(
        &self,
        request: Request<keda::ScaledObjectRef>,
    ) -> Result<Response<Self::StreamIsActiveStream>, Status> {
        let object = request.into_inner();
        let mut active = self.wanted(Some(&object)).await? > 0;
        let (sender, receiver) = mpsc::channel(1);
        let scaler = self.clone();
        self.clients.tasks.spawn(async move {
            let mut beats = interval(EVERY);
            beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut told = None;
            loop {
                if told != Some(active) {
                    let said = sender.send(Ok(keda::IsActiveResponse { result: active }));
                    if said.await.is_err() {
                        return;
                    }
                    told = Some(active);
                }
                tokio::select! {
                    () = scaler.shutdown.cancelled() => return,
                    () = sender.closed() => return,
                    _ = beats.tick() => {}
                }
                match scaler.wanted(Some(&object)).await {
                    Ok(wanted) => active = wanted > 0,
                    Err(error) => {
                        // The caller opens another.
                        sender.send(Err(error)).await.ok();
                        return;
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn get_metric_spec(
        &self,
        request: Request<keda::ScaledObjectRef>,
    ) -> Result<Response<keda::GetMetricSpecResponse>, Status> {
        // A wrong trigger is refused at KEDA's first call.
        self.wanted(Some(request.get_ref())).await?;
        let one = keda::MetricSpec { metric_name: METRIC.to_owned(), target_size: 1, target_size_float: 1.0 };
        Ok(Response::new(keda::GetMetricSpecResponse { metric_specs: vec![one] }))
    }

    async fn get_metrics(
        &self,
        request: Request<keda::GetMetricsRequest>,
    ) -> Result<Response<keda::GetMetricsResponse>, Status> {
        let request = request.into_inner();
        let wanted = self.wanted(request.scaled_object_ref.as_ref()).await?;
        if request.metric_name != METRIC {
            return Err(Status::not_found(format!(
                "there is no metric {:?}; the one that there is is {METRIC}",
                request.metric_name
            )));
        }
        let one = keda::MetricValue {
            metric_name: METRIC.to_owned(),
            metric_value: wanted.into(),
            metric_value_float: wanted.into(),
        };
        Ok(Response::new(keda::GetMetricsResponse { metric_values: vec![one] }))
    }
}
