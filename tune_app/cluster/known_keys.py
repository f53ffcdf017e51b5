"""The keys that clouds and Kubernetes know, as deep as clusters of GPUs need: a name to what is below it.

Sources: EC2 RunInstances, Compute Engine instances.insert, KubeRay 1.6's ray.io/v1, Kubernetes PodSpec.
"""

from __future__ import annotations

from typing import Any

Known = dict[str, Any]


def _names(text: str, **deeper: Known) -> Known:
    return {**dict.fromkeys(text.split()), **deeper}


AWS = _names(
    "AdditionalInfo CapacityReservationSpecification ClientToken CpuOptions CreditSpecification "
    "DisableApiStop DisableApiTermination DryRun EbsOptimized ElasticGpuSpecification "
    "ElasticInferenceAccelerators EnablePrimaryIpv6 EnclaveOptions HibernationOptions ImageId "
    "InstanceInitiatedShutdownBehavior InstanceType Ipv6AddressCount Ipv6Addresses KernelId KeyName "
    "LaunchTemplate LicenseSpecifications MaintenanceOptions MaxCount MinCount Monitoring NetworkInterfaces "
    "NetworkPerformanceOptions Operator PrivateDnsNameOptions PrivateIpAddress RamdiskId SecurityGroupIds "
    "SecurityGroups SubnetId SubnetIds TagSpecifications UserData",
    BlockDeviceMappings=_names(
        "DeviceName NoDevice VirtualName",
        Ebs=_names(
            "AvailabilityZone DeleteOnTermination EbsCardIndex Encrypted Iops KmsKeyId OutpostArn SnapshotId "
            "Throughput VolumeInitializationRate VolumeSize VolumeType"
        ),
    ),
    IamInstanceProfile=_names("Arn Name"),
    InstanceMarketOptions=_names(
        "MarketType",
        SpotOptions=_names(
            "BlockDurationMinutes InstanceInterruptionBehavior MaxPrice SpotInstanceType ValidUntil"
        ),
    ),
    MetadataOptions=_names(
        "HttpEndpoint HttpProtocolIpv6 HttpPutResponseHopLimit HttpTokens InstanceMetadataTags"
    ),
    Placement=_names(
        "Affinity AvailabilityZone AvailabilityZoneId GroupId GroupName HostId HostResourceGroupArn "
        "PartitionNumber SpreadDomain Tenancy"
    ),
)

GCP = _names(
    "advancedMachineFeatures canIpForward confidentialInstanceConfig deletionProtection description "
    "displayDevice hostname instanceEncryptionKey keyRevocationActionType labels minCpuPlatform name "
    "networkInterfaces networkPerformanceConfig params privateIpv6GoogleAccess reservationAffinity "
    "resourcePolicies serviceAccounts shieldedInstanceConfig sourceInstanceTemplate "
    "sourceMachineImage tags zone machineType",
    disks=_names(
        "architecture autoDelete boot deviceName diskEncryptionKey diskSizeGb forceAttach guestOsFeatures "
        "index interface kind licenses mode savedState source type",
        initializeParams=_names(
            "architecture description diskName diskSizeGb diskType guestOsFeatures labels licenses "
            "onUpdateAction provisionedIops provisionedThroughput replicaZones resourceManagerTags "
            "resourcePolicies sourceImage sourceImageEncryptionKey sourceSnapshot storagePool"
        ),
    ),
    guestAccelerators=_names("acceleratorType acceleratorCount"),
    metadata=_names("fingerprint kind", items=_names("key value")),
    scheduling=_names(
        "automaticRestart availabilityDomain hostErrorTimeoutSeconds instanceTerminationAction "
        "localSsdRecoveryTimeout locationHint maxRunDuration minNodeCpus nodeAffinities "
        "onHostMaintenance onInstanceStopAction preemptible provisioningModel terminationTime"
    ),
)

#: A TPU is another kind of node to Ray: it is asked for by this key, and has fields of its own.
GCP_TPU = "acceleratorType"

_CONTAINER = _names(
    "args command env envFrom image imagePullPolicy lifecycle livenessProbe name ports readinessProbe "
    "resizePolicy restartPolicy securityContext startupProbe stdin stdinOnce terminationMessagePath "
    "terminationMessagePolicy tty volumeDevices volumeMounts workingDir",
    resources=_names("claims limits requests"),
)
_TEMPLATE = _names(
    "metadata",
    spec=_names(
        "activeDeadlineSeconds affinity automountServiceAccountToken dnsConfig dnsPolicy enableServiceLinks "
        "hostAliases hostIPC hostNetwork hostPID hostUsers hostname imagePullSecrets nodeName nodeSelector "
        "os overhead preemptionPolicy priority priorityClassName readinessGates resourceClaims restartPolicy "
        "runtimeClassName schedulerName schedulingGates securityContext serviceAccount serviceAccountName "
        "setHostnameAsFQDN shareProcessNamespace subdomain terminationGracePeriodSeconds tolerations "
        "topologySpreadConstraints volumes ephemeralContainers resources",
        containers=_CONTAINER,
        initContainers=_CONTAINER,
    ),
)
RAY_CLUSTER = _names(
    "authOptions gcsFaultToleranceOptions headServiceAnnotations managedBy rayVersion suspend "
    "networkPolicy tlsOptions upgradeStrategy enableInTreeAutoscaling",
    autoscalerOptions=_names(
        "env envFrom idleTimeoutSeconds image imagePullPolicy resources securityContext upscalingMode "
        "version volumeMounts"
    ),
    headGroupSpec=_names(
        "enableIngress headService labels rayStartParams resources serviceType", template=_TEMPLATE
    ),
    workerGroupSpecs=_names(
        "groupName idleTimeoutSeconds labels maxReplicas minReplicas numOfHosts rayStartParams replicas "
        "resources scaleStrategy suspend",
        template=_TEMPLATE,
    ),
)
RAY_JOB = _names(
    "activeDeadlineSeconds backoffLimit clusterSelector deletionPolicy deletionStrategy entrypoint "
    "entrypointNumCpus entrypointNumGpus entrypointResources jobId managedBy metadata "
    "preRunningDeadlineSeconds runtimeEnvYAML shutdownAfterJobFinishes submissionMode "
    "submitterConfig submitterPodTemplate suspend ttlSecondsAfterFinished",
    rayClusterSpec=RAY_CLUSTER,
)
