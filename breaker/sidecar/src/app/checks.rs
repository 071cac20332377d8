//! What the configuration and the environment must not be together.

use super::StartError;
use crate::config::Config;
use crate::telemetry::ExportSettings;

/// What is exported, by the configuration or by the environment, must not come back as an
/// application's telemetry.
pub(super) fn check_loop(config: &Config, settings: &mut ExportSettings) -> Result<(), StartError> {
    let Some(receive) = config.receive() else {
        return Ok(());
    };
    match settings
        .exports_mut()
        .find(|export| receive.is_own(&export.endpoint))
    {
        Some(export) => Err(StartError::Setting(format!(
            "telemetry must not be exported to {}, where it is received: a loop; \
             set telemetry.export.endpoint or OTEL_EXPORTER_OTLP_ENDPOINT to a collector",
            export.endpoint
        ))),
        None => Ok(()),
    }
}

/// Who can reach the admin port from elsewhere must be known.
pub(super) fn check_control(config: &Config) -> Result<(), StartError> {
    if !config.lacks_token() {
        return Ok(());
    }
    let rule = "admin: must be a loopback address, or changes must need a token: \
                set control.token_file, --control-token-file or BREAKER_CONTROL_TOKEN";
    Err(StartError::Setting(rule.to_owned()))
}
