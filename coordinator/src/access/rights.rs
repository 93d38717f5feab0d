//! The one table of who may call what. Every call of gRPC has a row in [`of`], which is matched without a wildcard, and
//! every route of HTTP is made with the right that it stands for; docs/TRUST.md shows the table as it is here.

use bt_model::role::Role;
use bt_proto::Method;

/// What a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Right {
    /// Nothing: not even a name.
    None,
    /// To be known.
    Known,
    /// To see sweeps, jobs, results, agents.
    Read,
    /// The same, with a token that stands within the call.
    ReadWithin,
    /// To make sweeps, in the name of one's owners.
    Submit,
    /// To change a sweep: one of one's owners', or any with the role for it.
    Change,
    /// To change what all sweeps share.
    Operate,
    /// To name any secret in a manifest.
    UseSecrets,
    /// To see tokens and the audit log.
    Oversee,
    /// To make and revoke tokens.
    Administer,
    /// To work as an agent.
    Work,
}

impl Right {
    pub(crate) const ALL: [Self; 11] = [
        Self::None,
        Self::Known,
        Self::Read,
        Self::ReadWithin,
        Self::Submit,
        Self::Change,
        Self::Operate,
        Self::UseSecrets,
        Self::Oversee,
        Self::Administer,
        Self::Work,
    ];

    /// Whether the call is let in without a token in its header.
    pub(crate) fn is_asked_later(self) -> bool {
        matches!(self, Self::None | Self::ReadWithin)
    }

    /// Whether a role has it.
    pub(crate) fn is_of(self, role: Role) -> bool {
        match self {
            Self::None | Self::Known => true,
            Self::Read | Self::ReadWithin => {
                matches!(role, Role::Viewer | Role::Submitter | Role::Operator | Role::Admin)
            }
            Self::Submit | Self::Change => matches!(role, Role::Submitter | Role::Operator | Role::Admin),
            Self::Operate | Self::UseSecrets => matches!(role, Role::Operator | Role::Admin),
            Self::Oversee | Self::Administer => role == Role::Admin,
            Self::Work => role == Role::Agent,
        }
    }

    /// The roles that have it, in words.
    pub(crate) fn roles(self) -> String {
        let roles = Role::ALL.into_iter().filter(|role| self.is_of(*role)).map(Role::name);
        roles.collect::<Vec<_>>().join(", ")
    }

    /// Whether it is for changes, which are written down.
    pub(crate) fn is_to_change(self) -> bool {
        match self {
            Self::Submit | Self::Change | Self::Operate | Self::Administer => true,
            Self::None
            | Self::Known
            | Self::Read
            | Self::ReadWithin
            | Self::UseSecrets
            | Self::Oversee
            | Self::Work => false,
        }
    }

    /// What it is for, as docs/TRUST.md has it.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::None => "nothing is asked",
            Self::Known => "any token that holds",
            Self::Read => "see sweeps, jobs, logs, results and agents",
            Self::ReadWithin => "the same, with a token that stands within the call instead of in its header",
            Self::Submit => "submit sweeps and push images",
            Self::Change => "change a sweep; submitters only those of their owners",
            Self::Operate => "change what all sweeps share",
            Self::UseSecrets => {
                "name any secret in a manifest; submitters only those that are for their owners (`btctl secrets set --for`)"
            }
            Self::Oversee => "see tokens and the audit log",
            Self::Administer => "make and revoke tokens",
            Self::Work => "work as an agent",
        }
    }
}

/// What a call over gRPC needs.
pub(crate) fn of(method: Method) -> Right {
    match method {
        // KEDA names its token within the call, and is asked for it there.
        Method::ExternalScalerIsActive
        | Method::ExternalScalerStreamIsActive
        | Method::ExternalScalerGetMetricSpec
        | Method::ExternalScalerGetMetrics => Right::ReadWithin,
        // Whoever signs in is not known yet.
        Method::AccessBeginSignIn | Method::AccessPollSignIn => Right::None,
        Method::AccessWhoAmI | Method::AccessSignOut => Right::Known,
        Method::AccessListQuotas => Right::Read,
        Method::AccessSetQuota | Method::AccessRemoveQuota => Right::Operate,
        // Each is shown those that it may name.
        Method::SecretsListSecrets => Right::Read,
        Method::SecretsSetSecret | Method::SecretsRemoveSecret | Method::SecretsRotateSecrets => Right::Operate,
        Method::SchedulesListSchedules | Method::SchedulesShowSchedule => Right::Read,
        Method::SchedulesAddSchedule => Right::Submit,
        // Whose it is, is asked when it is found.
        Method::SchedulesRemoveSchedule | Method::SchedulesPauseSchedule | Method::SchedulesRunSchedule => {
            Right::Change
        }
        Method::AliasesListAliases | Method::AliasesShowAlias => Right::Read,
        Method::AliasesPromoteImage | Method::AliasesRollBackAlias | Method::AliasesRemoveAlias => Right::Operate,
        Method::AccessListTokens | Method::AccessListAudit | Method::AccessVerifyAudit => Right::Oversee,
        Method::AccessCreateToken | Method::AccessRevokeToken => Right::Administer,
        Method::AgentsCertify
        | Method::AgentsSession
        | Method::AgentsUpload
        | Method::AgentsPinImage
        | Method::AgentsFetchSecrets
        | Method::AgentsNoteSharing
        | Method::AgentsFetchImage
        | Method::AgentsFetchOverlay
        | Method::AgentsFetchResult
        | Method::AgentsDescribeImage
        | Method::AgentsDebug
        | Method::AgentsAnswerFiles
        | Method::AgentsPushLog => Right::Work,
        Method::SweepsResolveSweep
        | Method::SweepsListSweeps
        | Method::SweepsShowSweep
        | Method::SweepsListJobs
        | Method::SweepsShowLandscape
        | Method::SweepsShowWalk
        | Method::SweepsListAttempts
        | Method::SweepsShowProgress
        | Method::SweepsListRunning
        | Method::SweepsExplain
        | Method::SweepsReport
        | Method::SweepsLogs
        | Method::SweepsListOutputs
        | Method::SweepsShowResult
        | Method::SweepsDownload
        | Method::SweepsDownloadMany
        | Method::SweepsListAgents
        | Method::SweepsShowSoftware
        | Method::SweepsListImages
        | Method::SweepsListLimits
        | Method::SweepsGetDemand
        // To repair is to change the sweep, which is asked when it is found.
        | Method::SweepsVerifyResults
        | Method::SweepsAssessSweep
        | Method::SweepsCountTrials
        | Method::SweepsListVolumeFiles
        | Method::SweepsWatchEvents => Right::Read,
        Method::SweepsSubmit | Method::SweepsEstimateSweep | Method::SweepsPushImage | Method::SweepsMissingLayers => Right::Submit,
        Method::SweepsAddJobs
        | Method::SweepsCloseSweep
        | Method::SweepsDescribeSweep
        | Method::SweepsRemoveSweep
        | Method::SweepsCancel
        | Method::SweepsRetry
        | Method::SweepsPause
        | Method::SweepsResume
        | Method::SweepsDebug
        | Method::SweepsImportMetrics => Right::Change,
        Method::AccessRevokeAgent
        | Method::SweepsRemoveImage
        | Method::SweepsDrainAgent
        | Method::SweepsSetLimit
        | Method::SweepsRemoveLimit
        | Method::SweepsExamine
        | Method::SweepsCollectGarbage => Right::Operate,
    }
}

/// Whether a call changes something that is written down: that an image's layers are asked for, how long a sweep would take, or how the
/// coordinator is, changes nothing, and of what agents do, that one joins or renews its certificate. That somebody signs in is written down when it is known who.
pub(crate) fn is_change(method: Method) -> bool {
    match method {
        Method::SweepsMissingLayers | Method::SweepsEstimateSweep | Method::SweepsExamine => false,
        Method::AgentsCertify | Method::AccessSignOut => true,
        method => of(method).is_to_change(),
    }
}

/// What asks the coordinator what it speaks, and whether it is alive.
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/";
const HEALTH: &str = "/grpc.health.v1.Health/";

/// What any call over gRPC needs, by its address.
pub(crate) fn of_path(path: &str) -> Right {
    match Method::at(path) {
        Some(method) => of(method),
        None if path.starts_with(HEALTH) => Right::None,
        None if path.starts_with(REFLECTION) => Right::Read,
        // There is no such call, which only those hear who are known.
        None => Right::Known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_and_people_have_nothing_in_common_but_to_be_known() {
        for right in Right::ALL {
            let people = Role::ALL.into_iter().any(|role| role != Role::Agent && right.is_of(role));
            let both = matches!(right, Right::None | Right::Known);
            assert_eq!(people && right.is_of(Role::Agent), both, "{right:?}");
        }
    }

    #[test]
    fn a_higher_role_has_what_a_lower_one_has() {
        let people = [Role::Viewer, Role::Submitter, Role::Operator, Role::Admin];
        for pair in people.windows(2) {
            for right in Right::ALL {
                assert!(!right.is_of(pair[0]) || right.is_of(pair[1]), "{right:?}: {pair:?}");
            }
        }
    }

    #[test]
    fn other_services_have_rights_too() {
        assert_eq!(of_path("/grpc.health.v1.Health/Check"), Right::None);
        assert_eq!(of_path("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"), Right::Read);
        assert_eq!(of_path("/btctl.v1.Sweeps/IsAnybodyThere"), Right::Known);
    }
}
